"""Classes as Gaussians in the space of raw embeddings, and noisy copies of rows."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench.api import UsageError


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


class Estimates(nn.Module):
    """When the variances of classes are estimated: in the first epoch after `warm_up`, a share of the budget,
    and then every `every` epochs, from all training images. `estimated` takes what is found."""

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        copies: int,
        strength: float,
        warm_up: float,
        every: int,
    ) -> None:
        super().__init__()
        if copies < 0 or strength < 0 or every < 1:
            raise UsageError(
                f"copies = {copies} and strength = {strength}: at least 0; every = {every}: at least 1"
            )
        self.copies, self.strength, self.warm_up, self.every = copies, strength, warm_up, every
        self.register_buffer("variance", torch.zeros(num_classes, embedding_dim))
        self.register_buffer("estimated_in", torch.tensor(-1))

    def on_epoch_start(
        self,
        epoch: int,
        progress: float,
        train_labels: Int[Tensor, " num_samples"],
        embed_all: Callable[[], Float[Tensor, "num_samples dim"]],
    ) -> None:
        last = int(self.estimated_in)
        if self.copies == 0 or progress < self.warm_up or (last >= 0 and epoch - last < self.every):
            return
        rows = embed_all()
        self.estimated(class_gaussians(rows, train_labels.to(rows.device), len(self.variance)))
        self.estimated_in.fill_(epoch)

    def estimated(self, found: Gaussians) -> None:
        raise NotImplementedError

    @property
    def makes_copies(self) -> bool:
        return self.copies > 0 and int(self.estimated_in) >= 0


def noisy(
    rows: Float[Tensor, "new dim"], deviation: Float[Tensor, "new dim"], generator: torch.Generator
) -> Float[Tensor, "new dim"]:
    """rows + deviation * eps, with a fresh standard normal eps."""
    return rows + deviation * torch.randn(rows.shape, generator=generator).to(rows)
