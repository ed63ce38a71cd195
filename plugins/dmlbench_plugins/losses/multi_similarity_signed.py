"""Multi-similarity without mining, its negative margin with either sign."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


def multi_similarity_signed(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    gamma: float = 2.0,
    beta: float = 50.0,
    sigma: float = 1.0,
    negative_margin_sign: Literal[1, -1] = 1,
) -> Float[Tensor, ""] | None:
    """Each anchor's log(1 + sum of exp(-gamma (s - sigma))) / gamma over all its positives, plus
    log(1 + sum of exp(beta (s + sigma))) / beta over all its negatives (Ebrahimpour et al. 2022, eq. 6).

    The plus in the second sum is as they print it. Nearly nothing is left of the 1 then: the term is the
    largest similarity plus sigma, and the weights of an anchor's negatives sum to 1 however far they are.
    With `negative_margin_sign = -1` it is the usual loss. Divisor: all anchors. None without any pair.
    """
    if not (positives.any() or negatives.any()):
        return None
    pull = functional.softplus(log_sum_exp(-gamma * (similarity - sigma), positives)) / gamma
    pushed = beta * (similarity + negative_margin_sign * sigma)
    push = functional.softplus(log_sum_exp(pushed, negatives)) / beta
    return (pull + push).mean()
