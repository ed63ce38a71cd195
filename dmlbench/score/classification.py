"""Classification by what is near: votes of neighbours, and class means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import UsageError
from dmlbench.score.distance import unit
from dmlbench.score.places import Values
from dmlbench.score.precision import full_precision

# Similarities of queries and class means that are held at a time.
_ELEMENTS = 2**24
# Relative to what is compared, in float64: nearer than that to the nearest is as near.
_SAME = 1e-12


def knn_accuracy(labels: Int[Tensor, " query"], neighbours: Int[Tensor, "query nearest"], k: int) -> Values:
    """1 where most of the k nearest items (nearest first) are of the query's class.

    Of classes with equally many votes, the one whose item is nearest is chosen.

    >>> knn_accuracy(torch.tensor([7, 7]), torch.tensor([[5, 7, 7], [5, 7, 9]]), k=3)
    tensor([1., 0.], dtype=torch.float64)
    """
    voters = neighbours[:, :k]
    ordered, order = voters.sort(dim=1)
    starts = torch.nn.functional.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=True)
    block = starts.cumsum(dim=1) - 1  # equal classes stand together
    sizes = torch.zeros_like(voters).scatter_add_(1, block, torch.ones_like(voters))
    votes = torch.empty_like(voters).scatter_(1, order, sizes.gather(1, block))
    place = torch.arange(voters.shape[1], device=voters.device)
    chosen = (votes * voters.shape[1] - place).argmax(dim=1, keepdim=True)
    return (voters.gather(1, chosen).squeeze(1) == labels).double()


def hamming_loss(
    labels: Int[Tensor, "query label"], neighbours: Int[Tensor, "query nearest label"], k: int
) -> Values:
    """Mean over the k nearest items of the share of labels that query and item do not agree on.

    Smaller is better.

    >>> hamming_loss(torch.tensor([[1, 0]]), torch.tensor([[[1, 0], [1, 1]]]), k=2)
    tensor([0.2500], dtype=torch.float64)
    """
    return (labels[:, None, :] != neighbours[:, :k]).double().mean(dim=(1, 2))


def class_mean_accuracy(
    queries: Float[Tensor, "query dim"],
    labels: Int[Tensor, " query"],
    gallery: Float[Tensor, "item dim"],
    gallery_labels: Int[Tensor, " item"],
    own: Int[Tensor, " query"] | None = None,
    distance: str = "cosine",
) -> Values:
    """1 where the nearest class mean of the gallery is that of the query's class, 1/m where m are as near.

    cosine: means of rows of length 1, compared by their angle. euclidean: plain means. A query that is itself
    a gallery item (`own`, -1 for none) is left out of the mean of its class.

    Raises `UsageError` for a distance in which a mean is not the nearest point of all.
    """
    place, classes, sums, sizes = _class_sums(gallery, gallery_labels, distance)
    shares = []
    height = max(1, _ELEMENTS // len(classes))
    for start in range(0, len(queries), height):
        rows = slice(start, start + height)
        points = place(queries[rows].double())
        wanted = torch.searchsorted(classes, labels[rows]).clamp_(max=len(classes) - 1)
        known = classes[wanted] == labels[rows]
        with full_precision():
            near = _nearness(points, sums / sizes[:, None], distance)
        itself = known if own is None else known & (own[rows] >= 0)
        if own is not None and bool(itself.any()):
            rest = sizes[wanted] - 1
            without = (sums[wanted] - points) / rest.clamp(min=1)[:, None]
            alone = _nearness_of_pairs(points, without, distance).masked_fill_(rest == 0, -torch.inf)
            held_out = near.gather(1, wanted[:, None]).squeeze(1)
            near.scatter_(1, wanted[:, None], torch.where(itself, alone, held_out)[:, None])
        nearest = _nearest(points, near)
        own_share = nearest.gather(1, wanted[:, None]).squeeze(1) / nearest.sum(dim=1).double()
        shares.append(torch.where(known, own_share, 0.0))
    return torch.cat(shares)


def nearest_class(
    queries: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "item dim"],
    gallery_labels: Int[Tensor, " item"],
    distance: str = "cosine",
) -> Int[Tensor, " query"]:
    """The class whose mean of gallery items is nearest, as in `class_mean_accuracy`; of several the smallest.

    >>> points = torch.tensor([[0.0], [2.0], [9.0]])
    >>> nearest_class(torch.tensor([[4.0], [6.0]]), points, torch.tensor([3, 3, 8]), "euclidean")
    tensor([3, 8])
    """
    place, classes, sums, sizes = _class_sums(gallery, gallery_labels, distance)
    means = sums / sizes[:, None]
    chosen = []
    for rows in queries.split(max(1, _ELEMENTS // len(classes))):
        points = place(rows.double())
        with full_precision():
            chosen.append(_nearest(points, _nearness(points, means, distance)).int().argmax(dim=1))
    return classes[torch.cat(chosen)]


def _class_sums(
    gallery: Float[Tensor, "item dim"], labels: Int[Tensor, " item"], distance: str
) -> tuple[
    Callable[[Tensor], Tensor],
    Int[Tensor, " class"],
    Float[Tensor, "class dim"],
    Int[Tensor, " class"],
]:
    """How rows are placed before they are added up, the classes, their sums and their sizes."""
    if distance not in ("cosine", "euclidean"):
        raise UsageError(
            f"class means have no meaning in the {distance} distance",
            way_out="cosine, euclidean, or knn_accuracy_at_K",
        )
    place = unit if distance == "cosine" else torch.Tensor.double
    items = place(gallery.double())
    classes, index, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    return (
        place,
        classes,
        items.new_zeros(len(classes), items.shape[1]).index_add_(0, index, items),
        sizes,
    )


def _nearest(points: Tensor, near: Float[Tensor, "query class"]) -> Bool[Tensor, "query class"]:
    """All that are as near as the nearest one."""
    best = near.amax(dim=1, keepdim=True)
    return near >= best - _SAME * (1 + best.abs() + points.square().sum(dim=1, keepdim=True))


def _nearness(points: Tensor, means: Tensor, distance: str) -> Float[Tensor, "query class"]:
    if distance == "cosine":
        return points @ unit(means).T
    return 2 * points @ means.T - means.square().sum(dim=1)


def _nearness_of_pairs(points: Tensor, means: Tensor, distance: str) -> Values:
    if distance == "cosine":
        return (points * unit(means)).sum(dim=1)
    return 2 * (points * means).sum(dim=1) - means.square().sum(dim=1)
