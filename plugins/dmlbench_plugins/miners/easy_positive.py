"""The easiest positive of each anchor, with a hard negative."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench.api import Triplets


def easy_positive(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    negative: Literal["semihard", "hard"] = "semihard",
) -> Triplets:
    """Each anchor's most similar positive with its most similar negative (Xuan, Stylianou, Pless 2020).

    `semihard`: the most similar of those negatives that are less similar than that positive; an anchor
    without one has no triplet. So a class may stay in several clusters: nothing pulls on its far pairs.
    """
    nearest, place = similarity.masked_fill(~positives, -torch.inf).max(dim=1)
    if negative == "semihard":
        negatives = negatives & ~(similarity >= nearest[:, None])
    anchor = (positives.any(dim=1) & negatives.any(dim=1)).nonzero()[:, 0]
    chosen = similarity.masked_fill(~negatives, -torch.inf).argmax(dim=1)
    return Triplets(torch.stack([anchor, place[anchor], chosen[anchor]]))
