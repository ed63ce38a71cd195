"""Supervised contrastive loss."""

from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


def supcon(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    temperature: float = 0.1,
) -> Float[Tensor, ""] | None:
    """Mean over an anchor's positives of -log softmax(s / temperature), over all its pairs.

    Khosla et al. 2020, eq. 2: the sum over positives stands outside the logarithm. Divisor: the anchors with
    a positive; None when there are none.
    """
    number = positives.sum(dim=1)
    counted = number > 0
    if not counted.any():
        return None
    logits = similarity / temperature
    own = (logits * positives).sum(dim=1) / number.clamp(min=1)
    return (log_sum_exp(logits, positives | negatives) - own)[counted].mean()
