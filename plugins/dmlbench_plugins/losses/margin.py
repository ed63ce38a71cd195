"""Margin loss around boundaries that may be learned: of triplets, of all pairs, with one for each image."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup, Triplets

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical rows."""


class Margin(nn.Module):
    """Hinges on the Euclidean distances d of unit vectors, around a boundary b (Wu et al. 2017, eq. 3):

        [d(a, p) - b_a + margin]_+ + [b_a - d(a, n) + margin]_+ + nu * b_a   of each mined triplet (a, p, n)

    Divisor: the hinges that are open, as in the authors' code; 0 when none is, None when nothing was mined.

    `boundaries`: "fixed" at `boundary`; "global", one learned number; "class", one of each class. They follow
    SGD with momentum 0.9 at `rate`, without weight decay. The authors' rate, 0.1, is divided by the batch
    size; this one is not.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        margin: float = 0.2,
        boundary: float = 1.2,
        boundaries: Literal["fixed", "global", "class"] = "class",
        nu: float = 0.0,
        rate: float = 5e-4,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.nu = nu
        self.rate = rate
        self.by_class = boundaries == "class"
        number = num_classes if self.by_class else 1
        self.boundary = nn.Parameter(torch.full((number,), boundary), requires_grad=boundaries != "fixed")

    def param_groups(self) -> list[ParamGroup]:
        return _followed(self.boundary, self.rate) if self.boundary.requires_grad else []

    def forward(
        self,
        similarity: Float[Tensor, "anchors refs"],
        triplets: Triplets,
        ref_labels: Int[Tensor, " refs"],
    ) -> Float[Tensor, ""] | None:
        if len(triplets) == 0:
            return None
        # The anchor's class is that of its positive.
        return self.of_triplets(similarity, triplets, self.of_class(ref_labels[triplets.indices[1]]))

    def of_class(self, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The boundary of each label's class."""
        return self.boundary[labels] if self.by_class else self.boundary.expand(len(labels))

    def of_triplets(
        self,
        similarity: Float[Tensor, "anchors refs"],
        triplets: Triplets,
        boundary: Float[Tensor, " triplets"],
    ) -> Float[Tensor, ""]:
        a, p, n = triplets.indices
        pull = functional.relu(_distance(similarity[a, p]) - boundary + self.margin)
        push = functional.relu(boundary - _distance(similarity[a, n]) + self.margin)
        return _over_open(torch.cat([pull, push]), self.nu * boundary.sum())


class MarginPairs(nn.Module):
    """`Margin` without a miner: a hinge for every pair, and nu * b_a for every anchor that has one.

    Another reduction than over all triplets, where a pair counts once for each that it is in.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        margin: float = 0.2,
        boundary: float = 1.2,
        boundaries: Literal["fixed", "global", "class"] = "class",
        nu: float = 0.0,
        rate: float = 5e-4,
    ) -> None:
        super().__init__()
        self.around = Margin(
            num_classes, margin=margin, boundary=boundary, boundaries=boundaries, nu=nu, rate=rate
        )

    def param_groups(self) -> list[ParamGroup]:
        return self.around.param_groups()

    def forward(
        self,
        similarity: Float[Tensor, "rows refs"],
        positives: Bool[Tensor, "rows refs"],
        negatives: Bool[Tensor, "rows refs"],
        labels: Int[Tensor, " rows"],
    ) -> Float[Tensor, ""] | None:
        pairs = positives | negatives
        if not pairs.any():
            return None
        boundary = self.around.of_class(labels)
        beyond = _distance(similarity) - boundary[:, None]
        hinges = functional.relu(torch.where(positives, beyond, -beyond) + self.around.margin) * pairs
        return _over_open(hinges, self.around.nu * (boundary * pairs.any(dim=1)).sum())


class MarginImages(nn.Module):
    """`Margin` whose boundary is a class's plus one of each training image, which begins at 0 (eq. 4)."""

    def __init__(
        self,
        num_classes: int,
        num_samples: int,
        *,
        margin: float = 0.2,
        boundary: float = 1.2,
        nu: float = 0.0,
        rate: float = 5e-4,
    ) -> None:
        super().__init__()
        self.around = Margin(num_classes, margin=margin, boundary=boundary, nu=nu, rate=rate)
        self.offset = nn.Parameter(torch.zeros(num_samples))

    def param_groups(self) -> list[ParamGroup]:
        return [*self.around.param_groups(), *_followed(self.offset, self.around.rate)]

    def forward(
        self,
        similarity: Float[Tensor, "rows refs"],
        triplets: Triplets,
        labels: Int[Tensor, " rows"],
        indices: Int[Tensor, " rows"],
    ) -> Float[Tensor, ""] | None:
        if len(triplets) == 0:
            return None
        boundary = self.around.of_class(labels) + self.offset[indices]
        return self.around.of_triplets(similarity, triplets, boundary[triplets.indices[0]])


def _followed(boundary: nn.Parameter, rate: float) -> list[ParamGroup]:
    return [ParamGroup([boundary], optimiser="sgd", rate=rate, weight_decay=0.0, options={"momentum": 0.9})]


def _distance(similarity: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return (2 - 2 * similarity).clamp(min=_SMALLEST_SQUARE).sqrt()


def _over_open(hinges: Float[Tensor, "*shape"], penalty: Float[Tensor, ""]) -> Float[Tensor, ""]:
    number = (hinges.detach() > 0).sum()
    # No hinge open: 0, whatever the penalty, and a graph.
    return (hinges.sum() + penalty) * (number > 0) / number.clamp(min=1)
