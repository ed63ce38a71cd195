"""Intra-class adaptive augmentation as its authors' code does it."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench.api import NewRows, UsageError
from dmlbench_plugins.augmenters.class_gaussians import Gaussians, class_gaussians, noisy

_FADING = ((0.4, 1.0), (0.6, 0.9), (0.8, 0.75), (1.0, 0.6))
"""Up to which share of the budget the strength has which factor."""


class IaaReleased(nn.Module):
    """`iaa` with what the released code does and the paper (Fu et al. 2022) does not say:

    - the correction by neighbours is computed there and never applied: there is none here;
    - the root is taken anew for each copy, so that copies have deviations sigma, sigma^1/2, sigma^1/4;
    - estimates run on: the newest weighs w = max(n / (images seen + n), 1 - `momentum`) (`merge`);
    - the strength fades to 0.6 of itself in the second half of the budget.

    It estimates under random augmentation and in training mode; here, as everywhere, images are embedded
    plain and in evaluation mode.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        copies: int = 3,
        strength: float = 0.8,
        warm_up: float = 0.3,
        every: int = 2,
        momentum: float = 0.2,
    ) -> None:
        super().__init__()
        if copies < 0 or strength < 0 or every < 1 or not 0 <= momentum <= 1:
            raise UsageError(
                f"copies = {copies} and strength = {strength}: at least 0; every = {every}: at least 1; "
                f"momentum = {momentum}: 0 to 1"
            )
        self.copies, self.strength, self.warm_up, self.every = copies, strength, warm_up, every
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(num_classes, embedding_dim))
        self.register_buffer("variance", torch.zeros(num_classes, embedding_dim))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.int64))
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
        self.merge(class_gaussians(rows, train_labels.to(rows.device), len(self.variance)))
        self.estimated_in.fill_(epoch)

    def merge(self, new: Gaussians) -> None:
        """v <- (1 - w) v + w v' + w (1 - w) (m - m')^2, and the means alike."""
        arrived = new.count.to(new.mean)
        share = arrived / (self.seen + arrived).clamp(min=1)
        w = torch.where(new.count > 0, share.clamp(min=1 - self.momentum), 0.0)[:, None]
        between = w * (1 - w) * (self.mean - new.mean).square()
        self.variance.copy_((1 - w) * self.variance + w * new.variance + between)
        self.mean.copy_((1 - w) * self.mean + w * new.mean)
        self.seen += new.count

    def forward(
        self,
        raw: Float[Tensor, "rows dim"],
        labels: Int[Tensor, " rows"],
        progress: float,
        generator: torch.Generator,
    ) -> NewRows | None:
        if self.copies == 0 or self.estimated_in < 0:
            return None
        factor = next(factor for end, factor in _FADING if progress <= end or end == 1.0)
        deviation = self.variance[labels].sqrt()
        roots = torch.cat([deviation ** (0.5**copy) for copy in range(self.copies)])
        source = torch.arange(len(raw), device=raw.device).repeat(self.copies)
        return NewRows(noisy(raw[source], (self.strength * factor) ** 0.5 * roots, generator), source)
