"""Intra-class adaptive augmentation with neighbour correction."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.api import NewRows, UsageError
from dmlbench_plugins.augmenters.class_gaussians import Estimates, Gaussians, noisy

_BLOCK = 256
"""Classes compared with all others at a time: block x classes, and block x neighbours x dim, stay small."""


class Iaa(Estimates):
    """`copies` noisy copies of each raw row, with the variances of its class (Fu et al. 2022).

    z' = z + sqrt(strength) * sigma_y * eps, eps standard normal; the gradient reaches z alone. In the first
    epoch after `warm_up`, a share of the budget, and then every `every` epochs, variances are estimated from
    all training images, and those of classes with at most `few` images corrected by their neighbours
    (`corrected`); `few = 0` leaves them as they are. Nothing is added before.
    For the main head: it is what images are embedded by.

    As published. The authors' code never applies the correction, takes roots of roots for later copies and
    has schedules that the paper does not mention: see `iaa-released`.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        copies: int = 3,
        strength: float = 0.8,
        warm_up: float = 0.3,
        every: int = 4,
        few: int = 40,
        neighbours: int = 25,
        beta: float = 0.1,
        gamma: float = 0.1,
        sigma_mean: float = 1.0,
        sigma_variance: float = 1.0,
    ) -> None:
        super().__init__(
            num_classes, embedding_dim, copies=copies, strength=strength, warm_up=warm_up, every=every
        )
        if neighbours < 1:
            raise UsageError(f"neighbours = {neighbours}: at least 1")
        self.few, self.neighbours, self.beta, self.gamma = few, neighbours, beta, gamma
        self.sigma_mean, self.sigma_variance = sigma_mean, sigma_variance

    def estimated(self, found: Gaussians) -> None:
        self.variance.copy_(self.corrected(found))

    def forward(
        self, raw: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> NewRows | None:
        if not self.makes_copies:
            return None
        source = torch.arange(len(raw), device=raw.device).repeat(self.copies)
        deviation = (self.strength * self.variance[labels[source]]).sqrt()
        return NewRows(noisy(raw[source], deviation, generator), source)

    def corrected(self, classes: Gaussians) -> Float[Tensor, "class dim"]:
        """Each variance mixed with that of its neighbours and of all classes.

            (1 - a) v + a ((1 - gamma) v_near + gamma v_all),   a = 1 / (1 + log(1 + beta (n - 1)))

        for classes of n <= `few` images, all from uncorrected variances. v_all is their mean over images,
        v_near over the `neighbours` classes of least D = |mean^2 - mean'^2| (squares by channel; ties: lower
        class), with weights n' exp(-D^2 / 2 sigma_mean^2 - |v - v'|^2 / 2 sigma_variance^2). Classes of one
        image have no variance to offer and are in neither.
        """
        count, mean, variance = classes
        offers = (count > 1).nonzero()[:, 0]
        taking = ((count > 0) & (count <= self.few)).nonzero()[:, 0]
        if len(offers) == 0 or len(taking) == 0:
            return variance
        weight = count[offers].to(variance)
        everywhere = (weight[:, None] * variance[offers]).sum(dim=0) / weight.sum()
        squares = mean.square()
        squares = squares - squares.mean(dim=0)  # less to cancel in products
        out = variance.clone()
        for block in taking.split(_BLOCK):
            near = self._near(block, offers, squares, classes)
            near = torch.where(near.isnan(), everywhere, near)  # no other class to ask
            alpha = self.share(count[block].to(variance))[:, None]
            mixed = (1 - self.gamma) * near + self.gamma * everywhere
            out[block] = (1 - alpha) * variance[block] + alpha * mixed
        return out

    def share(self, count: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
        """a: how much of its variance a class of `count` images takes from others."""
        return (count <= self.few) / (1 + (self.beta * (count - 1)).log1p())

    def _near(
        self,
        block: Int[Tensor, " block"],
        offers: Int[Tensor, " offer"],
        squares: Float[Tensor, "class dim"],
        classes: Gaussians,
    ) -> Float[Tensor, "block dim"]:
        """Weighted mean of the neighbours' variances; NaN where there is no neighbour."""
        count, _, variance = classes
        offered = squares[offers]
        distance = (
            offered.square().sum(dim=1) - 2 * squares[block] @ offered.T
        )  # but for a constant of the row
        distance = distance.masked_fill(block[:, None] == offers, torch.inf)
        distance, place = distance.sort(dim=1, stable=True)
        chosen = offers[place[:, : self.neighbours]]
        itself = chosen == block[:, None]  # comes in where others are too few
        away = (squares[block][:, None] - squares[chosen]).square().sum(dim=2)
        apart = (variance[block][:, None] - variance[chosen]).square().sum(dim=2)
        # The kernels by their logarithms: far classes keep their proportions where exp would be 0 for all.
        logits = count[chosen].to(variance).log()
        logits = logits - away / (2 * self.sigma_mean**2) - apart / (2 * self.sigma_variance**2)
        weights = logits.masked_fill(itself, -torch.inf).softmax(dim=1)
        return (weights[:, None] @ variance[chosen])[:, 0]
