"""Contrastive Bayesian metric learning."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp
from dmlbench_plugins.miners.multi_similarity import informative

_SAME = 1 - 1e-5
"""From this similarity on two pictures of a class are one picture, and no pair."""

Mask = Bool[Tensor, "anchors refs"]


def cbml(
    similarity: Float[Tensor, "anchors refs"],
    positives: Mask,
    negatives: Mask,
    *,
    form: Literal["log", "sqrt", "const"] = "log",
    positive_base: float = 0.5,
    positive_scale: float = 0.5,
    negative_base: float = 1.0,
    negative_scale: float = 0.01,
    positive_weight: float = 0.25,
    negative_weight: float = 0.25,
    epsilon: float | None = 0.1,
) -> Float[Tensor, ""] | None:
    """A concave function of each anchor's summed evidence against it (Kan et al. 2023, the authors' code):

        A = sum over mined positives of exp((positive_base - s) / positive_scale)
        C = sum over mined negatives of exp((s - negative_base) / negative_scale)
        log: log(1 + A) + log(1 + C)   sqrt: sqrt(1 + A) + sqrt(1 + C)
        const: 2 + positive_weight * A + negative_weight * C

    Pairs are mined as in multi-similarity; `epsilon` of None, or 3, takes all. Divisor: all anchors, also
    those that mining drops; None when it drops all. A positive of similarity 1 - 1e-5 or more is the picture
    itself.
    The metric variance constraint of the paper is the regulariser `variance-constraint`.
    """
    positives, negatives, kept = evidence(similarity, positives, negatives, epsilon)
    if not kept.any():
        return None
    pull = log_sum_exp((positive_base - similarity) / positive_scale, positives)[kept]
    push = log_sum_exp((similarity - negative_base) / negative_scale, negatives)[kept]
    if form == "log":
        terms = functional.softplus(pull) + functional.softplus(push)
    elif form == "sqrt":
        terms = (1 + pull.exp()).sqrt() + (1 + push.exp()).sqrt()
    else:
        terms = 2 + positive_weight * pull.exp() + negative_weight * push.exp()
    return terms.sum() / len(similarity)


def evidence(
    similarity: Float[Tensor, "anchors refs"], positives: Mask, negatives: Mask, epsilon: float | None
) -> tuple[Mask, Mask, Bool[Tensor, " anchors"]]:
    """The mined positives and negatives, and the anchors that have both."""
    positives = distinct(similarity, positives)
    if epsilon is not None:
        positives, negatives = informative(similarity, positives, negatives, epsilon)
    return positives, negatives, positives.any(dim=1) & negatives.any(dim=1)


def distinct(similarity: Float[Tensor, "anchors refs"], positives: Mask) -> Mask:
    """The positives that are another picture."""
    return positives & ~(similarity.detach() >= _SAME)
