"""Clustering: k-means on the embeddings, as many clusters as classes, and how well they match the classes.

The metrics follow from the non-empty cells of the table of classes and clusters, never from the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError, nearest
from dmlbench.score.faiss_library import faiss

#: k-means depends on where it starts by about a point: seeds 0 to 4, and the mean of the five.
CLUSTERINGS = 5

Labels = Int[Tensor, " item"]


@dataclass(frozen=True)
class Contingency:
    """How many items each class shares with each cluster, on the CPU; empty cells are left out."""

    counts: Int[Tensor, " cell"]
    classes: Int[Tensor, " cell"]
    clusters: Int[Tensor, " cell"]
    class_sizes: Int[Tensor, " class"]
    cluster_sizes: Int[Tensor, " cluster"]


def contingency(labels: Labels, clusters: Labels) -> Contingency:
    """The cells of class and cluster that hold items, with the sizes of both; any integers name them.

    >>> contingency(torch.tensor([7, 7, 9]), torch.tensor([0, 0, 4])).counts
    tensor([2, 1])
    """
    if labels.shape != clusters.shape or labels.numel() == 0:
        raise DataError(f"{labels.numel()} labels and {clusters.numel()} clusters: an item has one of each")
    _, row, class_sizes = labels.cpu().unique(return_inverse=True, return_counts=True)
    _, column, cluster_sizes = clusters.cpu().unique(return_inverse=True, return_counts=True)
    cells, counts = (row * len(cluster_sizes) + column).unique(return_counts=True)
    return Contingency(
        counts, cells // len(cluster_sizes), cells % len(cluster_sizes), class_sizes, cluster_sizes
    )


def nmi(labels: Labels, clusters: Labels) -> float:
    """Normalised mutual information, arithmetic form: 2 I / (H(classes) + H(clusters)).

    A single cluster gives 0, also for a single class, where scikit-learn gives 1.

    >>> nmi(torch.tensor([0, 0, 1, 1]), torch.tensor([5, 5, 3, 3]))
    1.0
    """
    table = contingency(labels, clusters)
    entropies = _entropy(table.class_sizes) + _entropy(table.cluster_sizes)
    return 2 * _information(table) / entropies if entropies else 0.0


def ami(labels: Labels, clusters: Labels) -> float:
    """Mutual information less what chance gives, (I - E) / ((H(classes) + H(clusters)) / 2 - E).

    E is the mean of I over all clusterings with clusters of these sizes: 0 is chance, and less is possible.
    Equal partitions give 1, also the two where chance can do no other: all in one, and each item alone.

    >>> round(ami(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])), 6)
    -0.5
    """
    table = contingency(labels, clusters)
    if len(table.counts) == len(table.class_sizes) == len(table.cluster_sizes):
        return 1.0
    chance = _expected_information(table)
    most = (_entropy(table.class_sizes) + _entropy(table.cluster_sizes)) / 2
    return (_information(table) - chance) / (most - chance)


def pairwise_f1(labels: Labels, clusters: Labels) -> float:
    """F1 over unordered pairs of items, a pair in one cluster being a claim that it is of one class.

    1 where neither the classes nor the clusters hold a pair: none is missed, none is wrong.

    >>> pairwise_f1(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1]))
    0.4
    """
    table = contingency(labels, clusters)
    pairs = _pairs(table.class_sizes) + _pairs(table.cluster_sizes)
    return 2 * _pairs(table.counts) / pairs if pairs else 1.0


CLUSTERING_METRICS: dict[str, Callable[[Labels, Labels], float]] = {
    "nmi": nmi,
    "ami": ami,
    "pairwise_f1": pairwise_f1,
}


def clustering_scores(
    points: Float[Tensor, "item dim"], labels: Labels, names: Sequence[str]
) -> dict[str, float]:
    """The named metrics, each the mean over `CLUSTERINGS` runs of k-means with one cluster for each class.

    `points` are clustered as they are, by Euclidean distance; normalise them first for the usual numbers.
    """
    for name in names:
        if name not in CLUSTERING_METRICS:
            raise UsageError(
                f"no clustering metric named {name!r}",
                near=nearest(name, CLUSTERING_METRICS),
                way_out=f"one of {', '.join(CLUSTERING_METRICS)}",
            )
    if not names:
        return {}
    found = [kmeans(points, len(labels.unique()), seed) for seed in range(CLUSTERINGS)]
    return {name: fmean(CLUSTERING_METRICS[name](labels, clusters) for clusters in found) for name in names}


def kmeans(points: Float[Tensor, "item dim"], clusters: int, seed: int, iterations: int = 100) -> Labels:
    """The nearest of `clusters` centroids for each point, on the CPU, after one start of Lloyd's algorithm.

    faiss begins at points that `seed` draws, works in float32, splits a large cluster where one is empty, and
    from version 1.14 on ends once the objective stands still. Equal points share a cluster, so that
    there may be fewer than `clusters` of them. Equal seeds give equal results on one machine.
    """
    library = faiss()
    if not 1 <= clusters <= len(points):
        raise DataError(f"{len(points)} points make no {clusters} clusters", way_out="a cluster has a point")
    values = points.detach().float().cpu().numpy()
    # Left alone, faiss warns of few points for a centroid, and looks at a sample where there are many.
    limits = {"min_points_per_centroid": 1, "max_points_per_centroid": len(points)}
    centroids = library.Kmeans(points.shape[1], clusters, niter=iterations, nredo=1, seed=seed, **limits)
    threads = library.omp_get_max_threads()
    library.omp_set_num_threads(torch.get_num_threads())
    try:
        centroids.train(values)
        return torch.from_numpy(centroids.assign(values)[1])
    finally:
        library.omp_set_num_threads(threads)


def _pairs(sizes: Int[Tensor, " part"]) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _entropy(sizes: Int[Tensor, " part"]) -> float:
    """In nats."""
    return float(torch.special.entr(sizes / sizes.sum().double()).sum())


def _information(table: Contingency) -> float:
    """Mutual information in nats; rounding never makes it negative."""
    items = table.counts.sum().double()
    by_chance = table.class_sizes[table.classes] * table.cluster_sizes[table.clusters]
    return max(0.0, float((table.counts / items * (items * table.counts / by_chance).log()).sum()))


def _expected_information(table: Contingency) -> float:
    """Mean of I when items are dealt at random: a class of a and a cluster of b share n hypergeometrically.

    Equation 24a of Vinh, Epps and Bailey (2010). Only sizes matter, and of N items there are at most √(2N)
    sizes; for one a, all pairs (b, n) are at most N.
    """
    items = int(table.counts.sum())
    whole = torch.arange(1, items + 1, dtype=torch.float64)
    # log m! and log N!/(N-m)!, neither of them large for a small m: a difference of log N! loses its digits.
    factorial = torch.nn.functional.pad(whole.log().cumsum(0), (1, 0))
    falling = torch.nn.functional.pad(whole.flip(0).log().cumsum(0), (1, 0))
    sizes, times = table.cluster_sizes.unique(return_counts=True)
    class_sizes, class_times = table.class_sizes.unique(return_counts=True)
    total = 0.0
    for a, classes in zip(class_sizes.tolist(), class_times.tolist(), strict=True):
        least = (a + sizes - items).clamp(min=1)
        many = sizes.clamp(max=a) - least + 1
        pair = torch.repeat_interleave(many)
        n = torch.arange(len(pair)) + (least - many.cumsum(0) + many)[pair]
        b = sizes[pair]
        log_chance = falling[a + b - n] - falling[a] - falling[b]
        log_chance += factorial[a] - factorial[n] - factorial[a - n] + factorial[b] - factorial[b - n]
        information = n * (items * n / (a * b).double()).log()
        total += classes * float((times[pair] * log_chance.exp() * information).sum())
    return total / items
