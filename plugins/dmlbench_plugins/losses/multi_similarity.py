"""Multi-similarity loss with its pair mining."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp
from dmlbench_plugins.miners.multi_similarity import informative


def multi_similarity(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    alpha: float = 2.0,
    beta: float = 40.0,
    base: float = 0.5,
    epsilon: float | None = 0.1,
) -> Float[Tensor, ""]:
    """Wang et al. 2019: log(1 + sum exp) over the mined pairs of each anchor, both kinds.

    Defaults are those of the authors' code; the paper prints alpha 2, beta 50, base 1, epsilon 0.1. With
    `epsilon=None` every pair counts. Divisor: all anchors, also those without any pair (as the paper; ports
    that divide by the contributing anchors rescale the gradient as training converges). The self pair is
    left out by index, so a duplicate picture stays a positive (the authors' code drops similarity 1).
    """
    if epsilon is not None:
        positives, negatives = informative(similarity, positives, negatives, epsilon)
    pull = functional.softplus(log_sum_exp(-alpha * (similarity - base), positives)) / alpha
    push = functional.softplus(log_sum_exp(beta * (similarity - base), negatives)) / beta
    counts = positives.any(dim=1) & negatives.any(dim=1)
    return ((pull + push) * counts).sum() / len(similarity)
