"""Rows to call a component with: embeddings of a few classes, and the ways in which a batch can be odd."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.data.store import Part

LARGE = 2**24
"""From here on float32 cannot tell an integer from the next."""


@dataclass(frozen=True)
class Sample:
    """Row-aligned; `labels[i]` is the class of training image `indices[i]` unless said otherwise, and
    `relevance[i]` says which labels it has. A component sees one of the two."""

    raw: Float[Tensor, "rows dim"]
    features: Float[Tensor, "rows feature"]
    labels: Int[Tensor, " rows"]
    indices: Int[Tensor, " rows"]
    relevance: Bool[Tensor, "rows labels"]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, order: Int[Tensor, " new"]) -> Sample:
        """These rows in this order."""
        return Sample(**{name: column[order] for name, column in vars(self).items()})

    def shuffled(self) -> Sample:
        return self.take(self.order())

    def order(self) -> Int[Tensor, " rows"]:
        """A fixed random order of the rows."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(17))

    def non_contiguous(self) -> Sample:
        """The same values, laid out as no `view` can take them."""

        return Sample(
            self.raw.t().contiguous().t(),
            self.features.t().contiguous().t(),
            spread(self.labels),
            spread(self.indices),
            spread(self.relevance),
        )

    def large_labels(self) -> Sample:
        return replace(self, labels=self.labels + LARGE)

    def half_precise(self) -> Sample:
        """What a trunk under bf16 autocast makes: 8 bits of each number."""
        return replace(self, raw=self.raw.bfloat16().float(), features=self.features.bfloat16().float())


def spread(values: Tensor) -> Tensor:
    """The same values, every second one in memory."""
    return values.repeat_interleave(2, dim=0)[::2]


class Samples:
    """Draws samples of a training set, for one width of embeddings and features."""

    def __init__(self, train: Part, dim: int, feature_dim: int) -> None:
        self._labels = train.labels
        self._relevance = train.relevance
        self._dim = dim
        self._feature_dim = feature_dim
        counts = torch.bincount(train.labels)
        self._full = (counts == counts.max()).nonzero().flatten()

    def batch(self, classes: int = 4, per_class: int = 4) -> Sample:
        """`per_class` images of each class, in no order; images repeat where a class has fewer."""
        labels = self._full[:classes].repeat_interleave(per_class)
        if len(labels) < classes * per_class:
            raise ValueError(f"the kit's data has no {classes} full classes")
        copies = torch.arange(per_class).repeat(classes)
        return self._of(labels, copies).shuffled()

    def one_class(self) -> Sample:
        return self.batch(classes=1, per_class=4)

    def all_distinct(self) -> Sample:
        return self.batch(classes=8, per_class=1)

    def one_row(self) -> Sample:
        return self.batch(classes=1, per_class=1)

    def duplicates(self) -> Sample:
        """Rows that are equal, within a class (one picture twice) and between classes."""
        plain = self.batch(classes=3, per_class=4)
        order = torch.argsort(plain.labels, stable=True)
        sample = plain.take(order)  # rows 0-3, 4-7, 8-11 are of one class each
        source = torch.arange(12)
        source[1], source[4], source[9] = 0, 0, 8
        twice = sample.indices.clone()
        twice[1], twice[9] = twice[0], twice[8]
        return replace(sample, raw=sample.raw[source], features=sample.features[source], indices=twice)

    def _of(self, labels: Int[Tensor, " rows"], copies: Int[Tensor, " rows"]) -> Sample:
        generator = torch.Generator().manual_seed(3)
        members = [(self._labels == label).nonzero().flatten() for label in labels]
        indices = torch.stack([m[c % len(m)] for m, c in zip(members, copies, strict=True)])

        def rows(width: int) -> Float[Tensor, "rows width"]:
            centres = torch.randn(int(self._labels.max()) + 1, width, generator=generator)
            return centres[labels] + 0.8 * torch.randn(len(labels), width, generator=generator)

        return Sample(
            rows(self._dim), rows(self._feature_dim).abs(), labels, indices, self._relevance[indices]
        )
