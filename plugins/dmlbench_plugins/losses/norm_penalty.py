"""A penalty on the length of embeddings."""

from jaxtyping import Float
from torch import Tensor


def norm_penalty(raw: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """|f|^2, a mean over the raw rows (Sohn 2016). Divisor: the rows, anchors and positives alike.

    Conventions of its weight differ: tf.contrib's `reg_lambda` is twice ours.
    """
    return raw.square().sum(dim=1).mean()
