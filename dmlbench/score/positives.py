"""Where each query's positives stand in the gallery: items of its class, or that share a label with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.score.overlap import Overlap


class Columns(NamedTuple):
    """The gallery columns of each query's positives: at least one, padded where `valid` is false."""

    columns: Int[Tensor, "query positive"]
    valid: Bool[Tensor, "query positive"]
    shared: Float[Tensor, "query positive"] | None = None
    """How many labels query and item share, where items have several."""


class Relevance(Protocol):
    """Which items are relevant to which queries."""

    @property
    def largest(self) -> int:
        """Columns that a query may need; memory is planned with it."""

    def positives(self, rows: slice, own: Int[Tensor, " query"] | None = None) -> Columns:
        """The positives of these queries, without each query's `own` column (-1: it has none)."""

    def overlap(self, rows: slice, columns: Tensor, shared: Tensor) -> Overlap:
        """The label sets of these queries and of the items in `columns`; only where items have several."""


@dataclass(frozen=True)
class SameClass:
    """Items of the query's class; class c of the gallery is `columns[starts[c] : starts[c] + sizes[c]]`."""

    labels: Int[Tensor, " query"]
    classes: Int[Tensor, " class"]
    columns: Int[Tensor, " gallery"]
    starts: Int[Tensor, " class"]
    sizes: Int[Tensor, " class"]

    @classmethod
    def of(cls, labels: Int[Tensor, " query"], gallery_labels: Int[Tensor, " gallery"]) -> SameClass:
        """Group the columns of a gallery with these labels.

        >>> SameClass.of(torch.tensor([7, 6]), torch.tensor([7, 5, 7])).positives(slice(0, 2))
        Columns(columns=tensor([[0, 2],
                [0, 2]]), valid=tensor([[ True,  True],
                [False, False]]), shared=None)
        """
        classes, inverse, sizes = torch.unique(gallery_labels, return_inverse=True, return_counts=True)
        return cls(labels, classes, inverse.argsort(stable=True), sizes.cumsum(0) - sizes, sizes)

    @property
    def largest(self) -> int:
        return int(self.sizes.max())

    def positives(self, rows: slice, own: Int[Tensor, " query"] | None = None) -> Columns:
        labels = self.labels[rows]
        index = torch.searchsorted(self.classes, labels).clamp_(max=len(self.classes) - 1)
        sizes = self.sizes[index] * (self.classes[index] == labels)
        slot = torch.arange(max(1, int(sizes.max())), device=labels.device)
        valid = slot < sizes[:, None]
        places = (self.starts[index][:, None] + slot).clamp_(max=len(self.columns) - 1)
        columns = self.columns[places]
        return Columns(columns, valid if own is None else valid & (columns != own[:, None]))

    def overlap(self, rows: slice, columns: Tensor, shared: Tensor) -> Overlap:
        raise NotImplementedError("items of one class share one label")


@dataclass(frozen=True)
class SharedLabels:
    """Items that share at least one label with the query; labels are multi-hot rows."""

    labels: Float[Tensor, "query label"]
    gallery_labels: Float[Tensor, "gallery label"]

    @classmethod
    def of(
        cls, labels: Int[Tensor, "query label"], gallery_labels: Int[Tensor, "gallery label"]
    ) -> SharedLabels:
        """From rows of 0 and 1.

        >>> one = SharedLabels.of(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 0, 1], [1, 0, 0], [1, 1, 0]]))
        >>> one.positives(slice(0, 1))
        Columns(columns=tensor([[1, 2]]), valid=tensor([[True, True]]), shared=tensor([[1., 2.]]))
        """
        return cls(labels.float(), gallery_labels.float())  # counts of labels are exact in float32

    @property
    def largest(self) -> int:
        return len(self.gallery_labels)

    def positives(self, rows: slice, own: Int[Tensor, " query"] | None = None) -> Columns:
        with torch.autocast(self.labels.device.type, enabled=False):  # bfloat16 counts to 256
            shared = self.labels[rows] @ self.gallery_labels.T
        if own is not None:
            query = (own >= 0).nonzero().squeeze(1)
            shared[query, own[query]] = 0
        query, column = shared.nonzero(as_tuple=True)
        sizes = (shared > 0).sum(dim=1)
        slot = torch.arange(len(query), device=shared.device) - (sizes.cumsum(0) - sizes)[query]
        columns = torch.zeros(len(shared), max(1, int(sizes.max())), dtype=torch.int64, device=shared.device)
        columns[query, slot] = column
        valid = torch.arange(columns.shape[1], device=shared.device) < sizes[:, None]
        return Columns(columns, valid, shared.gather(1, columns).masked_fill_(~valid, 0))

    def overlap(self, rows: slice, columns: Tensor, shared: Tensor) -> Overlap:
        return Overlap(shared.double(), self.labels[rows].sum(dim=1).long(), self._sizes[columns])

    @cached_property
    def _sizes(self) -> Int[Tensor, " gallery"]:
        return self.gallery_labels.sum(dim=1).long()
