"""Triplet loss over every triplet of the batch."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

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
    """Mean of [d(a, p) + margin - d(a, n)]_+ over all (a, p, n), d the Euclidean distance or its square.

    Divisor: the triplets, those whose hinge is closed too. None when there are none.

    No triplet is written out. With each anchor's d(a, p) + margin sorted from the largest down, the hinges of
    a negative that are open are the first ones, as many as are larger than d(a, n), and a running sum has
    their total: O(B^2 log B) steps and O(B^2) memory for O(B^3) triplets.
    """
    of_anchor = positives.sum(dim=1)
    triplets = (of_anchor * negatives.sum(dim=1)).sum()
    if triplets == 0:
        return None
    # Rows near the origin: products of long rows lose small distances.
    origin = refs.detach().mean(dim=0)
    a, r = anchors - origin, refs - origin
    square = a.square().sum(dim=1, keepdim=True) + r.square().sum(dim=1) - 2 * a @ r.T
    square = square.clamp(min=_SMALLEST_SQUARE)
    distance = square if squared else square.sqrt()

    reach = (distance + margin).masked_fill(~positives, -torch.inf).topk(int(of_anchor.max()), dim=1).values
    still_open = torch.searchsorted(-reach.detach(), -distance.detach())
    total = functional.pad(reach.cumsum(dim=1), (1, 0)).gather(1, still_open)
    return ((total - still_open * distance) * negatives).sum() / triplets
