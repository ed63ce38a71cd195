"""The pair mining of multi-similarity."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench.api import Pairs


def multi_similarity(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    epsilon: float = 0.1,
) -> Pairs:
    """Pairs with some tension (Wang et al. 2019, section 4.2), those that the loss mines for itself:

    negatives more similar than the least similar positive - epsilon, positives less similar than the most
    similar negative + epsilon. An anchor without both kinds of pairs has none.
    """
    positives, negatives = informative(similarity, positives, negatives, epsilon)
    return Pairs(torch.stack(positives.nonzero(as_tuple=True)), torch.stack(negatives.nonzero(as_tuple=True)))


def informative(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    epsilon: float,
) -> tuple[Bool[Tensor, "anchors refs"], Bool[Tensor, "anchors refs"]]:
    """The mined pairs as masks. What is NaN is kept, so that a loss shows it."""
    similarity = similarity.detach()
    least_positive = torch.where(positives, similarity, torch.inf).amin(dim=1, keepdim=True)
    most_negative = torch.where(negatives, similarity, -torch.inf).amax(dim=1, keepdim=True)
    easy_positive = similarity >= most_negative + epsilon
    easy_negative = similarity <= least_positive - epsilon
    return positives & ~easy_positive, negatives & ~easy_negative
