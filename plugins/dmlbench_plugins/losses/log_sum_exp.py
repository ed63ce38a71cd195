"""The logarithm of a sum of exponentials over the pairs of a mask."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

_NOTHING = -1e9
"""log of an empty sum: finite, because the gradient of -inf is NaN."""


def log_sum_exp(
    logits: Float[Tensor, "anchors refs"], mask: Bool[Tensor, "anchors refs"], dim: int = 1
) -> Float[Tensor, " kept"]:
    """log of the sum of exp(logits) along `dim`, where `mask` is; about -1e9 where it is nowhere.

    `torch.logsumexp` takes the exponential of what is masked too, and on CPUs one that vanishes costs ten
    times as much as one that does not. Softmax has another kernel, and is the gradient as well.

    >>> log_sum_exp(torch.zeros(1, 4), torch.tensor([[True, True, True, False]])).exp()
    tensor([3.0000])
    """
    return _LogSumExp.apply(torch.where(mask, logits, _NOTHING), dim)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, dim: int) -> Tensor:
        share = logits.softmax(dim)
        ctx.save_for_backward(share)
        ctx.dim = dim
        # The largest share is 1 / sum of exp(logits - largest).
        return logits.amax(dim) - share.amax(dim).log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        return gradient.unsqueeze(ctx.dim) * share, None
