"""Semi-hard negatives."""

import torch
from jaxtyping import Bool, Float
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

    Schroff et al. 2015, section 3.2. By sorting each anchor's negatives: O(anchors x refs) memory.
    """
    distance = 2 - 2 * similarity
    ordered, order = distance.masked_fill(~negatives, torch.inf).sort(dim=1, stable=True)
    first_farther = torch.searchsorted(ordered, distance.contiguous(), right=True)
    place = first_farther.clamp(max=distance.shape[1] - 1)
    gap = ordered.gather(1, place) - distance
    chosen = positives & (gap > 0) & (gap < margin)
    anchor, positive = chosen.nonzero(as_tuple=True)
    return Triplets(torch.stack([anchor, positive, order.gather(1, place)[anchor, positive]]))
