"""The hardest triplet of each anchor."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench.api import Triplets


def batch_hard(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    progress: float,
    *,
    warm_up: float = 0.0,
) -> Triplets:
    """Each anchor's least similar positive with its most similar negative (Hermans et al. 2017, eq. 5).

    An anchor without both has no triplet. Of equally similar ones the first. A network that has not learnt
    anything yet may put all rows in one place instead (Schroff et al. 2015, section 3.2): in the first
    `warm_up` of the budget the negative is the most similar one beyond the positive.
    """
    far, positive = torch.where(positives, similarity, torch.inf).min(dim=1)
    if progress < warm_up:
        negatives = negatives & ~(similarity >= far[:, None])
    anchor = (positives.any(dim=1) & negatives.any(dim=1)).nonzero()[:, 0]
    negative = torch.where(negatives, similarity, -torch.inf).argmax(dim=1)
    return Triplets(torch.stack([anchor, positive[anchor], negative[anchor]]))
