"""A penalty on the length of the whole batch."""

from jaxtyping import Float
from torch import Tensor


def frobenius_norm(raw: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """The Frobenius norm of the matrix of raw rows, not squared (code of Marrero Fernandez et al.).

    It is a sum over the batch under one root: no divisor.
    """
    return raw.norm()
