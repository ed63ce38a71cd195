"""Classes as Gaussians in the space of raw embeddings, and noisy copies of rows."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Gaussians(NamedTuple):
    """One Gaussian a class, with a diagonal covariance. A class without images has zeros."""

    count: Int[Tensor, " class"]
    mean: Float[Tensor, "class dim"]
    variance: Float[Tensor, "class dim"]


def class_gaussians(
    rows: Float[Tensor, "images dim"], labels: Int[Tensor, " images"], num_classes: int
) -> Gaussians:
    """Mean and biased variance (divisor: the images of the class) of each class; label -1 is left out."""
    kept = labels >= 0
    rows, labels = rows[kept], labels[kept]
    count = torch.bincount(labels, minlength=num_classes)
    divisor = count.clamp(min=1)[:, None].to(rows.dtype)
    zeros = rows.new_zeros(num_classes, rows.shape[1])
    mean = zeros.index_add(0, labels, rows) / divisor
    # Around the mean, not as a difference of squares: that one may be negative.
    variance = zeros.index_add(0, labels, (rows - mean[labels]).square()) / divisor
    return Gaussians(count, mean, variance)


def noisy(
    rows: Float[Tensor, "new dim"], deviation: Float[Tensor, "new dim"], generator: torch.Generator
) -> Float[Tensor, "new dim"]:
    """rows + deviation * eps, with a fresh standard normal eps."""
    return rows + deviation * torch.randn(rows.shape, generator=generator).to(rows)
