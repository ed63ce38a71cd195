"""Triplets that were generated as such."""

import torch
from jaxtyping import Bool
from torch import Tensor

from dmlbench.api import Triplets


def generated_triplets(
    positives: Bool[Tensor, "rows rows"], negatives: Bool[Tensor, "rows rows"]
) -> Triplets:
    """The i-th row of each third: rows come as anchors, then their positives, then their negatives.

    So an augmenter such as `two-stage-generation` makes them; the term has `rows = "synthetic"`. Places whose
    classes do not fit are left out.
    """
    count = min(positives.shape) // 3
    anchor = torch.arange(count, device=positives.device)
    positive, negative = anchor + count, anchor + 2 * count
    fits = positives[anchor, positive] & negatives[anchor, negative]
    return Triplets(torch.stack([anchor, positive, negative])[:, fits])
