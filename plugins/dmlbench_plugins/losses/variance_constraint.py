"""Metric variance constraint: a regulariser for any loss of pairs."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench_plugins.losses.cbml import distinct, evidence


def variance_constraint(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    mix: float = 0.2,
    reduction: Literal["sum", "mean"] = "sum",
    epsilon: float | None = None,
) -> Float[Tensor, ""] | None:
    """An anchor's negative similarities drawn to one value between its two means (Kan et al. 2023):

        m = mix * mean of s over positives + (1 - mix) * mean of s over negatives
        V = sum over negatives of (s - m)^2

    All pairs count, and m has a gradient. V is a sum over the negatives, as in the authors' code, so its
    weight grows with the batch; `reduction="mean"` divides by their number. Divisor: all anchors; those
    without both kinds of pairs count 0, and with `epsilon` those as well from which mining leaves no pairs.
    None when all count 0.
    """
    kept = evidence(similarity, positives, negatives, epsilon)[2]
    if not kept.any():
        return None
    positives = distinct(similarity, positives)
    of_each, number = (mask.sum(dim=1, keepdim=True).clamp(min=1) for mask in (positives, negatives))
    near = (similarity * positives).sum(dim=1, keepdim=True) / of_each
    far = (similarity * negatives).sum(dim=1, keepdim=True) / number
    spread = ((similarity - mix * near - (1 - mix) * far) * negatives).square()
    if reduction == "mean":
        spread = spread / number
    return spread[kept].sum() / len(similarity)
