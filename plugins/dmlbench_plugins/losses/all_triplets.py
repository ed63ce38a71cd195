"""Triplet loss over every triplet of the batch."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical rows."""


def all_triplets(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    margin: float = 0.2,
    squared: bool = False,
) -> Float[Tensor, ""] | None:
    """Mean of [d(a, p) - d(a, n) + margin]_+ over all (a, p, n), d the Euclidean distance or its square.

    Divisor: the triplets, those whose hinge is closed too. None when there are none.

    No triplet is written out. A sum of open hinges is linear in its distances: d(a, p) counts once for each
    negative nearer than d(a, p) + margin, and -d(a, n) once for each positive whose reach it is in. Sorting
    gives both counts: O(B^2 log B) steps and O(B^2) memory for O(B^3) triplets. The counts carry no gradient,
    and need none, because they change only where a hinge is 0.
    """
    triplets = (positives.sum(dim=1) * negatives.sum(dim=1)).sum()
    if triplets == 0:
        return None
    # Rows near the origin: products of long rows lose small distances.
    origin = refs.detach().mean(dim=0)
    a, r = anchors - origin, refs - origin
    square = a.square().sum(dim=1, keepdim=True) + r.square().sum(dim=1) - 2 * a @ r.T
    square = square.clamp(min=_SMALLEST_SQUARE)
    distance = square if squared else square.sqrt()

    reach = distance.detach() + margin
    reached = _below(distance.detach(), negatives, reach) * positives
    short = _below(reach, positives, distance.detach(), or_equal=True)
    reached_by = (positives.sum(dim=1, keepdim=True) - short) * negatives
    times = (reached - reached_by).to(distance.dtype)
    open_hinges = reached.sum().to(distance.dtype)
    return ((times * distance).sum() + margin * open_hinges) / triplets


def _below(
    values: Float[Tensor, "anchors refs"],
    mask: Bool[Tensor, "anchors refs"],
    bound: Float[Tensor, "anchors refs"],
    *,
    or_equal: bool = False,
) -> Int[Tensor, "anchors refs"]:
    """For each bound how many of its row's masked values are smaller (or equal)."""
    ordered = values.masked_fill(~mask, torch.inf).sort(dim=1).values
    return torch.searchsorted(ordered, bound.contiguous(), right=or_equal)
