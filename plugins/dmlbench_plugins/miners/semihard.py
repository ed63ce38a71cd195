"""Semi-hard negatives."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.api import Triplets


def semihard(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    margin: float = 0.2,
) -> Triplets:
    """For each positive pair the nearest negative with |a-p|^2 < |a-n|^2 < |a-p|^2 + margin, if there is one.

    Schroff et al. 2015, section 3.2. Of equally near ones the first. O(anchors x refs) memory.
    """
    distance = 2 - 2 * similarity
    far = distance.masked_fill(~negatives, torch.inf)
    anchor, positive = positives.nonzero(as_tuple=True)
    near = distance[anchor, positive]
    turn, turns = _turns(positives, anchor)
    negative, gap = torch.empty_like(positive), torch.empty_like(near)
    # All anchors' first positives, then their second ones, ...: sorting the negatives takes 20 times as long.
    for now in range(turns):
        these = turn == now
        beyond, nearest = far[anchor[these]], near[these]
        found = beyond.masked_fill(beyond <= nearest[:, None], torch.inf).min(dim=1)
        negative[these], gap[these] = found.indices, found.values - nearest
    chosen = (gap > 0) & (gap < margin)
    return Triplets(torch.stack([anchor, positive, negative])[:, chosen])


def _turns(
    positives: Bool[Tensor, "anchors refs"], anchor: Int[Tensor, " pairs"]
) -> tuple[Int[Tensor, " pairs"], int]:
    """Each pair's place among its anchor's, and how many places there are."""
    if len(anchor) == 0:
        return anchor, 0
    count = positives.sum(dim=1)
    place = torch.arange(len(anchor), device=anchor.device) - (count.cumsum(dim=0) - count)[anchor]
    return place, int(count.max())
