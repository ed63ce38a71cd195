"""Intra-class adaptive augmentation as its authors' code does it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.api import NewRows, UsageError
from dmlbench_plugins.augmenters.class_gaussians import Estimates, Gaussians, noisy

_FADING = ((0.4, 1.0), (0.6, 0.9), (0.8, 0.75), (1.0, 0.6))
"""Up to which share of the budget the strength has which factor."""


class IaaReleased(Estimates):
    """`iaa` with what the released code does and the paper (Fu et al. 2022) does not say:

    - the correction by neighbours is computed there and never applied: there is none here;
    - the root is taken anew for each copy, so that copies have deviations sigma, sigma^1/2, sigma^1/4;
    - estimates run on: the newest weighs w = max(n / (images seen + n), 1 - `momentum`) (`estimated`);
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
        super().__init__(
            num_classes, embedding_dim, copies=copies, strength=strength, warm_up=warm_up, every=every
        )
        if not 0 <= momentum <= 1:
            raise UsageError(f"momentum = {momentum}: 0 to 1")
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(num_classes, embedding_dim))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.int64))

    def estimated(self, found: Gaussians) -> None:
        """v <- (1 - w) v + w v' + w (1 - w) (m - m')^2, and the means alike."""
        arrived = found.count.to(found.mean)
        share = arrived / (self.seen + arrived).clamp(min=1)
        w = torch.where(found.count > 0, share.clamp(min=1 - self.momentum), 0.0)[:, None]
        between = w * (1 - w) * (self.mean - found.mean).square()
        self.variance.copy_((1 - w) * self.variance + w * found.variance + between)
        self.mean.copy_((1 - w) * self.mean + w * found.mean)
        self.seen += found.count

    def forward(
        self,
        raw: Float[Tensor, "rows dim"],
        labels: Int[Tensor, " rows"],
        progress: float,
        generator: torch.Generator,
    ) -> NewRows | None:
        if not self.makes_copies:
            return None
        factor = next(factor for end, factor in _FADING if progress <= end or end == 1.0)
        deviation = self.variance[labels].sqrt()
        roots = torch.cat([deviation ** (0.5**copy) for copy in range(self.copies)])
        source = torch.arange(len(raw), device=raw.device).repeat(self.copies)
        return NewRows(noisy(raw[source], (self.strength * factor) ** 0.5 * roots, generator), source)
