"""Multi-similarity loss of pairs that a miner chose."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.api import Pairs
from dmlbench_plugins.losses.multi_similarity import multi_similarity


def multi_similarity_mined(
    similarity: Float[Tensor, "anchors refs"],
    pairs: Pairs,
    *,
    alpha: float = 2.0,
    beta: float = 40.0,
    base: float = 0.5,
    epsilon: float | None = 0.1,
) -> Float[Tensor, ""] | None:
    """`multi_similarity` as if there were no other pairs: its own mining sees these alone.

    Divisor: all anchors, with or without a pair. None when the miner chose nothing.
    """
    if len(pairs) == 0:
        return None
    positives, negatives = _mask(similarity, pairs.positive), _mask(similarity, pairs.negative)
    return multi_similarity(
        similarity, positives, negatives, alpha=alpha, beta=beta, base=base, epsilon=epsilon
    )


def _mask(
    similarity: Float[Tensor, "anchors refs"], chosen: Int[Tensor, "2 pairs"]
) -> Bool[Tensor, "anchors refs"]:
    mask = torch.zeros_like(similarity, dtype=torch.bool)
    mask[tuple(chosen)] = True
    return mask
