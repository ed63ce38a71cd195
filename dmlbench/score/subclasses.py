"""Sub-classes that nobody was shown: how far clusters found inside each class agree with them.

All is asked within classes: that clusters of two classes differ is no finding. Classes with one sub-class
have nothing to tell apart and are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.classification import nearest_class
from dmlbench.score.clustering import CLUSTERINGS, ami, contingency, kmeans, nmi
from dmlbench.score.distance import unit

DRAWS = 100
"""Random clusterings, of the sizes that the clusters have, whose mean purity is what chance gives."""

Labels = Int[Tensor, " item"]


def purity(labels: Labels, clusters: Labels) -> float:
    """The share of items that are of the sub-class that is most frequent in their cluster.

    >>> purity(torch.tensor([0, 0, 1, 1, 2]), torch.tensor([5, 5, 5, 3, 3]))
    0.6
    """
    table = contingency(labels, clusters)
    most = torch.zeros_like(table.cluster_sizes).scatter_reduce_(0, table.clusters, table.counts, "amax")
    return int(most.sum()) / len(labels)


def agreement(classes: Labels, hidden: Labels, clusters: Labels, seed: int) -> dict[str, float]:
    """How far `clusters`, numbered anew in each class, are the `hidden` sub-classes of the classes.

    `purity` over all items, and `purity_chance` beside it: its mean over `DRAWS` shuffles of the sub-classes
    within their classes. `nmi` and `ami` are means over the classes, weighted by their items. Empty when no
    class has two sub-classes.
    """
    classes, hidden, clusters = _divided(classes, hidden, clusters)
    if len(classes) == 0:
        return {}
    own = _numbered(classes, clusters)
    generator = torch.Generator().manual_seed(seed)
    by_class = classes.argsort(stable=True)
    chance = []
    for _ in range(DRAWS):
        order = torch.rand(len(classes), generator=generator, dtype=torch.float64).argsort()
        shuffled = torch.empty_like(hidden)
        shuffled[by_class] = hidden[order[classes[order].argsort(stable=True)]]
        chance.append(purity(_numbered(classes, shuffled), own))
    return {
        "purity": purity(_numbered(classes, hidden), own),
        "purity_chance": fmean(chance),
        "nmi": _by_class(nmi, classes, hidden, clusters),
        "ami": _by_class(ami, classes, hidden, clusters),
    }


def clustered(
    points: Float[Tensor, "item dim"], classes: Labels, hidden: Labels, distance: str, seed: int
) -> dict[str, float]:
    """`agreement` of k-means inside each class, as many clusters as sub-classes: the mean of five starts."""
    rows = unit(points) if distance == "cosine" else points
    found = []
    for start in range(CLUSTERINGS):
        clusters = torch.zeros_like(classes)
        for own in classes.unique():
            members = (classes == own).nonzero().flatten()
            clusters[members] = kmeans(rows[members], len(hidden[members].unique()), start)
        found.append(agreement(classes, hidden, clusters, seed))
    return {name: fmean(scores[name] for scores in found) for name in found[0]}


def nearest_within(
    points: Float[Tensor, "query dim"],
    classes: Labels,
    known: Float[Tensor, "item dim"],
    known_classes: Labels,
    known_clusters: Labels,
    distance: str,
) -> Int[Tensor, " query"]:
    """The cluster of each item's own class whose mean of known items is nearest; -1 in classes without any.

    Known items whose cluster is -1 are in none.
    """
    found = torch.full_like(classes, -1)
    for own in classes.unique():
        members = classes == own
        there = (known_classes == own) & (known_clusters >= 0)
        if bool(there.any()):
            found[members] = nearest_class(points[members], known[there], known_clusters[there], distance)
    return found


def _divided(classes: Labels, hidden: Labels, clusters: Labels) -> tuple[Labels, Labels, Labels]:
    """Items of classes that have two sub-classes or more."""
    pairs = torch.stack([classes, hidden], dim=1).unique(dim=0)
    own, sizes = pairs[:, 0].unique(return_counts=True)
    kept = torch.isin(classes, own[sizes > 1])
    return classes[kept], hidden[kept], clusters[kept]


def _numbered(classes: Labels, parts: Labels) -> Labels:
    """One number for each pair of class and part."""
    return torch.stack([classes, parts], dim=1).unique(dim=0, return_inverse=True)[1]


def _by_class(
    metric: Callable[[Labels, Labels], float], classes: Labels, hidden: Labels, clusters: Labels
) -> float:
    total = 0.0
    for own in classes.unique():
        members = classes == own
        total += int(members.sum()) * metric(hidden[members], clusters[members])
    return total / len(classes)
