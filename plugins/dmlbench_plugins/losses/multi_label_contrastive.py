"""Supervised contrastive loss of pictures with several labels."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def multi_label_contrastive(
    similarity: Float[Tensor, "rows refs"],
    positives: Bool[Tensor, "rows refs"],
    negatives: Bool[Tensor, "rows refs"],
    relevance: Bool[Tensor, "rows labels"],
    ref_relevance: Bool[Tensor, "refs labels"],
    *,
    temperature: float = 0.1,
) -> Float[Tensor, ""] | None:
    """Each label of a row is an anchor of its own, its positives P(i, c) are the refs that have label c too:

        mean over (i, c) of mean over p in P(i, c) of -log softmax_j(s_ij / temperature)_p

    Divisor: the pairs (row, label) with a positive; None when there are none. The softmax is over positives
    and negatives. Zhang, Wu, AAAI 2024 (MulSupCon), the form without weights of their code, whose positives
    are a queue's; here they are the batch's. With one label a row it is the supervised contrastive loss.

    A positive counts 1 / |P(i, c)| for each label c that it shares, so one matrix of weights is enough.
    """
    has, ref_has = relevance.to(similarity.dtype), ref_relevance.to(similarity.dtype)
    number = (positives.to(similarity.dtype) @ ref_has) * has  # |P(i, c)|
    anchors = (number > 0).sum()
    if anchors == 0:
        return None
    weight = (has / number.clamp(min=1)) @ ref_has.T
    counted = positives.any(dim=1)
    logits = (similarity / temperature).masked_fill(~(positives | negatives), -torch.inf)[counted]
    log_share = logits.log_softmax(dim=1).masked_fill(~positives[counted], 0)
    return -(weight[counted] * log_share).sum() / anchors
