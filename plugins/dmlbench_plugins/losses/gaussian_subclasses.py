"""Sub-classes found by Gaussian mixtures inside each class, which training goes on with."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import UsageError

_STEPS = 100
"""Of expectation and maximisation; assignments seldom move after ten."""


class GaussianSubclasses(nn.Module):
    """Relabels images with sub-classes of their classes (code of Marrero Fernandez et al., "mitosis").

    After every `every` epochs, at most `rounds` times: all images are embedded, and a Gaussian mixture is
    fitted in each class as first labelled. The first round makes 2 components, each later one 1 more, up to
    `largest`, and no more than `images_each` images on average leave room for; classes with fewer than
    `smallest_class` images stay whole. New labels are consecutive. Samplers and losses follow them; what is
    about the first classes reads `first_labels`. In the authors' code small classes are split as well, by
    mistake.

    Mixtures have full covariances, as the paper's, or diagonal ones, for classes with fewer images than
    dimensions; `floor` is added to each variance.
    """

    def __init__(
        self,
        num_samples: int,
        num_classes: int,
        *,
        every: int = 20,
        rounds: int = 20,
        largest: int = 4,
        smallest_class: int = 100,
        images_each: int = 10,
        covariance: Literal["full", "diagonal"] = "full",
        floor: float = 1e-6,
    ) -> None:
        super().__init__()
        if min(every, images_each) < 1 or largest < 2 or not floor > 0:
            raise UsageError(
                f"every = {every}, images_each = {images_each}, largest = {largest}, floor = {floor}",
                way_out="at least 1, 1 and 2, and a floor above 0",
            )
        self.every = every
        self.rounds = rounds
        self.largest = largest
        self.smallest_class = smallest_class
        self.images_each = images_each
        self.covariance = covariance
        self.floor = floor
        self.max_classes = num_classes * largest
        self.register_buffer("first", torch.full((num_samples,), -1, dtype=torch.int64))

    def on_train_start(self, train_labels: Int[Tensor, " num_samples"]) -> None:
        self.first.copy_(train_labels)

    def relabel(
        self, epoch: int, embed_all: Callable[[], Tensor], generator: torch.Generator
    ) -> Int[Tensor, " num_samples"] | None:
        turn = epoch // self.every
        if epoch % self.every or not 1 <= turn <= self.rounds:
            return None
        return self.split(embed_all(), min(1 + turn, self.largest), generator)

    def split(
        self, raw: Float[Tensor, "num_samples dim"], most: int, generator: torch.Generator
    ) -> Int[Tensor, " num_samples"]:
        """Consecutive labels of the components that the images of each class belong to; -1 stays -1."""
        raw, first = raw.double().cpu(), self.first.cpu()
        part = torch.zeros_like(first)
        order = first.argsort(stable=True)
        for members in order.split(torch.unique_consecutive(first[order], return_counts=True)[1].tolist()):
            count = min(most, len(members) // self.images_each)
            if first[members[0]] >= 0 and len(members) >= self.smallest_class and count > 1:
                part[members] = mixture(raw[members], count, self.covariance, self.floor, generator)
        labels = torch.full_like(first, -1)
        known = first >= 0
        labels[known] = torch.unique(self.largest * first[known] + part[known], return_inverse=True)[1]
        return labels


def mixture(
    rows: Float[Tensor, "n dim"], count: int, covariance: str, floor: float, generator: torch.Generator
) -> Int[Tensor, " n"]:
    """The most likely component of each row in a Gaussian mixture of `count` components.

    It starts from rows that lie far apart (k-means++), and ends when no row moves.
    """
    chosen = rows[torch.randint(len(rows), (1,), generator=generator)]
    for _ in range(count - 1):
        apart = torch.cdist(rows, chosen).square().amin(dim=1) + 1e-12
        chosen = torch.cat([chosen, rows[torch.multinomial(apart, 1, generator=generator)]])
    own = torch.cdist(rows, chosen).argmin(dim=1)
    share = functional.one_hot(own, count).to(rows.dtype)
    for _ in range(_STEPS):
        weight = share.mean(dim=0).clamp(min=1e-12)
        share = (_log_density(rows, share, covariance, floor) + weight.log()).softmax(dim=1)
        before, own = own, share.argmax(dim=1)
        if torch.equal(before, own):
            break
    return own


def _log_density(
    rows: Float[Tensor, "n dim"], share: Float[Tensor, "n component"], covariance: str, floor: float
) -> Float[Tensor, "n component"]:
    """Of the Gaussians with the mean and covariance of the rows by their shares, but for a constant."""
    total = share.sum(dim=0).clamp(min=1e-12)
    away = rows - (share.T @ rows / total[:, None])[:, None]  # component, n, dim
    if covariance == "diagonal":
        variance = torch.einsum("nk,knd->kd", share, away.square()) / total[:, None] + floor
        square = (away.square() / variance[:, None]).sum(dim=2)
        return -0.5 * (square + variance.log().sum(dim=1)[:, None]).T
    spread = torch.einsum("nk,knd,kne->kde", share, away, away) / total[:, None, None]
    factor = torch.linalg.cholesky(spread + floor * torch.eye(rows.shape[1], dtype=rows.dtype))
    square = torch.linalg.solve_triangular(factor, away.mT, upper=False).square().sum(dim=1)
    return -0.5 * (square + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)[:, None]).T
