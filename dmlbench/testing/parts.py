"""Plain components that stand around the one that is checked."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.train.values import Pairs, Triplets


class Trunk(nn.Module):
    """One convolution with BatchNorm; offers its map."""

    feature_dim = 32

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(image_channels, 8, kernel_size=3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.feature_maps = {"last": 8}

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> tuple[Tensor, dict[str, Tensor]]:
        last = functional.relu(self.norm(self.convolution(images)))
        return functional.adaptive_avg_pool2d(last, 2).flatten(1), {"last": last}


class Teacher(nn.Module):
    """Small pixels through one layer."""

    feature_dim = 16

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(16 * image_channels, self.feature_dim)

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows feature"]:
        return self.linear(functional.adaptive_avg_pool2d(images, 4).flatten(1))


class Head(nn.Module):
    """One linear layer; offers a view inside the unit ball."""

    view_names = ("ball",)

    def __init__(self, feature_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.linear = nn.Linear(feature_dim, embedding_dim)

    def forward(self, features: Float[Tensor, "rows feature"]) -> Float[Tensor, "rows dim"]:
        return self.linear(features)

    def views(self, raw: Float[Tensor, "rows dim"]) -> dict[str, Float[Tensor, "rows dim"]]:
        return {"ball": raw / (1 + raw.square().sum(dim=1, keepdim=True)).sqrt()}


def pull_and_push(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
) -> Float[Tensor, ""]:
    """Smooth everywhere. Divisor: all pairs."""
    pull = functional.softplus(4 * (0.5 - similarity)) * positives
    push = functional.softplus(4 * (similarity - 0.5)) * negatives
    return (pull + push).sum() / max(1, similarity.numel())


def spread(raw: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """A second term. Divisor: the rows."""
    return raw.square().sum(dim=1).mean()


def from_pairs(similarity: Float[Tensor, "anchors refs"], pairs: Pairs) -> Float[Tensor, ""]:
    """Divisor: the anchors."""
    pull, push = similarity[tuple(pairs.positive)], similarity[tuple(pairs.negative)]
    return ((1 - pull).sum() + push.sum()) / len(similarity)


def from_triplets(similarity: Float[Tensor, "anchors refs"], triplets: Triplets) -> Float[Tensor, ""]:
    """Divisor: the anchors."""
    anchor, positive, negative = triplets.indices
    gap = similarity[anchor, negative] - similarity[anchor, positive]
    return functional.softplus(gap).sum() / len(similarity)


def from_weights(raw: Float[Tensor, "rows dim"], weights: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    """Divisor: the rows."""
    return (raw.square().sum(dim=1) * weights).mean()


def all_pairs(
    positives: Bool[Tensor, "anchors refs"], negatives: Bool[Tensor, "anchors refs"], *, empty: bool = False
) -> Pairs:
    """Every pair, or none."""
    return Pairs(_places(positives, empty), _places(negatives, empty))


def all_triplets(
    positives: Bool[Tensor, "anchors refs"], negatives: Bool[Tensor, "anchors refs"], *, empty: bool = False
) -> Triplets:
    """Every positive pair with every negative, or none."""
    anchor, positive = _places(positives, empty)
    place, negative = negatives[anchor].nonzero(as_tuple=True)
    return Triplets(torch.stack([anchor[place], positive[place], negative]))


def all_weights(source: Int[Tensor, " rows"], *, empty: bool = False) -> Float[Tensor, " rows"]:
    """One for every row, or zero."""
    return torch.full((len(source),), 0.0 if empty else 1.0, device=source.device)


def _places(mask: Bool[Tensor, "anchors refs"], empty: bool) -> Int[Tensor, "2 pairs"]:
    return (mask & (not empty)).nonzero().T
