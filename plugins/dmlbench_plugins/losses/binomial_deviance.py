"""Binomial deviance loss."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def binomial_deviance(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
) -> Float[Tensor, ""]:
    """A logistic cost of every pair by itself (Yi et al. 2014, in the form of Wang et al. 2019):

        mean over positives of log(1 + exp(alpha (base - s)))
            + mean over negatives of log(1 + exp(beta (s - base)))   of each anchor

    A kind without pairs counts 0. Divisor: all anchors. Yi et al. write beta as alpha times a cost of
    negatives, 25 here. Ports that divide each logarithm by alpha / 2 or beta / 2 are other losses.
    """
    # One logistic for both kinds: which one a pair is decides its slope.
    pull, push = positives.to(similarity.dtype), negatives.to(similarity.dtype)
    cost = functional.softplus((beta * push - alpha * pull) * (similarity - base))
    return (cost * (pull / _number(pull) + push / _number(push))).sum() / len(similarity)


def _number(mask: Float[Tensor, "anchors refs"]) -> Float[Tensor, "anchors 1"]:
    return mask.sum(dim=1, keepdim=True).clamp(min=1)
