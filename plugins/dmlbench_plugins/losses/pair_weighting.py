"""General pair weighting: losses as nothing but the weights that they give to pairs."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp
from dmlbench_plugins.miners.multi_similarity import informative

Matrix = Float[Tensor, "anchors refs"]
Mask = Bool[Tensor, "anchors refs"]


def pair_weighting(
    similarity: Matrix,
    positives: Mask,
    negatives: Mask,
    *,
    weighting: Literal[
        "multi-similarity", "contrastive", "triplet", "lifted-structure", "binomial-deviance"
    ] = "multi-similarity",
    alpha: float = 2.0,
    beta: float = 40.0,
    base: float = 0.5,
    margin: float = 0.1,
    epsilon: float | None = 0.1,
) -> Float[Tensor, ""]:
    """Sum of w s over negative pairs - sum of w s over positive ones, the weights w held (Wang et al. 2019).

    The gradient is that of the loss that the weights stand for; the value is not. Of an anchor, that loss is

        multi-similarity    log(1 + sum_p exp(alpha (base - s))) / alpha
                            + log(1 + sum_n exp(beta (s - base))) / beta
        contrastive         sum_p (1 - s) + sum_n [s - base]_+
        triplet             sum over p and n of [s_n - s_p + margin]_+
        lifted-structure    [log sum_p exp(base - s) + log sum_n exp(s)]_+
        binomial-deviance   mean_p log(1 + exp(alpha (base - s))) + mean_n log(1 + exp(beta (s - base)))

    over the pairs that `epsilon` mines as in multi-similarity. With None all count, with 3 all of an anchor
    that has both kinds. Divisor: all anchors.
    """
    if epsilon is not None:
        positives, negatives = informative(similarity, positives, negatives, epsilon)
    s = similarity.detach()
    if weighting == "multi-similarity":
        weights = _multi_similarity(s, positives, negatives, alpha, beta, base)
    elif weighting == "contrastive":
        weights = (negatives & ~(s <= base)).to(s.dtype) - positives.to(s.dtype)
    elif weighting == "triplet":
        weights = _triplet(s, positives, negatives, margin)
    elif weighting == "lifted-structure":
        weights = _lifted_structure(s, positives, negatives, base)
    else:
        weights = _binomial_deviance(s, positives, negatives, alpha, beta, base)
    return (weights * similarity).sum() / len(similarity)


def _multi_similarity(
    s: Matrix, positives: Mask, negatives: Mask, alpha: float, beta: float, base: float
) -> Matrix:
    """The share of each pair in 1 + the sum of exponentials of its kind."""
    pull, push = _share(alpha * (base - s), positives), _share(beta * (s - base), negatives)
    return (push - pull) * _both(positives, negatives)


def _share(logits: Matrix, mask: Mask) -> Matrix:
    """A softmax in which exp(0) has a share too."""
    one = logits.new_zeros(len(logits), 1)
    return torch.cat([one, logits.masked_fill(~mask, -torch.inf)], dim=1).softmax(dim=1)[:, 1:]


def _triplet(s: Matrix, positives: Mask, negatives: Mask, margin: float) -> Matrix:
    """How many open triplets each pair is in, by sorting the positives of each anchor."""
    most = int(positives.sum(dim=1).max())
    if most == 0:
        return torch.zeros_like(s)
    far, place = s.masked_fill(~positives, torch.inf).topk(most, dim=1, largest=False)
    # A negative is in a triplet with each positive that is less similar than it is with the margin.
    reach = torch.searchsorted(far, s + margin)
    push = reach * negatives
    exactly = s.new_zeros(len(s), most + 1).scatter_add_(1, reach, negatives.to(s.dtype))
    at_least = exactly.flip(1).cumsum(dim=1).flip(1)
    pull = torch.zeros_like(s).scatter_(1, place, at_least[:, 1:]) * positives
    return push - pull


def _lifted_structure(s: Matrix, positives: Mask, negatives: Mask, base: float) -> Matrix:
    """A softmax over each kind, where the hinge is open."""
    tension = log_sum_exp(base - s, positives) + log_sum_exp(s, negatives)
    pull, push = (-s).masked_fill(~positives, -torch.inf), s.masked_fill(~negatives, -torch.inf)
    is_open = _both(positives, negatives) & ~(tension <= 0)[:, None]
    return torch.where(is_open, push.softmax(dim=1) - pull.softmax(dim=1), 0)


def _binomial_deviance(
    s: Matrix, positives: Mask, negatives: Mask, alpha: float, beta: float, base: float
) -> Matrix:
    """A logistic function of each pair alone."""
    pull, push = positives.to(s.dtype), negatives.to(s.dtype)
    far = alpha * torch.sigmoid(alpha * (base - s)) * pull / pull.sum(dim=1, keepdim=True).clamp(min=1)
    near = beta * torch.sigmoid(beta * (s - base)) * push / push.sum(dim=1, keepdim=True).clamp(min=1)
    return near - far


def _both(positives: Mask, negatives: Mask) -> Bool[Tensor, "anchors 1"]:
    return (positives.any(dim=1) & negatives.any(dim=1))[:, None]
