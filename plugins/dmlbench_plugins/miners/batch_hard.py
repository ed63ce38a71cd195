"""The hardest triplet of each anchor."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench.api import Triplets


def batch_hard(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
) -> Triplets:
    """Each anchor's least similar positive with its most similar negative (Hermans et al. 2017, eq. 5).

    An anchor without both has no triplet. Of equally similar ones the first.
    """
    anchor = (positives.any(dim=1) & negatives.any(dim=1)).nonzero()[:, 0]
    positive = similarity.masked_fill(~positives, torch.inf).argmin(dim=1)
    negative = similarity.masked_fill(~negatives, -torch.inf).argmax(dim=1)
    return Triplets(torch.stack([anchor, positive[anchor], negative[anchor]]))
