"""Where in the gallery each query's positives stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Columns(NamedTuple):
    """The gallery columns of each query's positives: at least one, padded where `valid` is false."""

    columns: Int[Tensor, "query positive"]
    valid: Bool[Tensor, "query positive"]


@dataclass(frozen=True)
class ClassColumns:
    """Gallery columns grouped by class: class c holds `columns[starts[c] : starts[c] + sizes[c]]`."""

    classes: Int[Tensor, " class"]
    columns: Int[Tensor, " gallery"]
    starts: Int[Tensor, " class"]
    sizes: Int[Tensor, " class"]

    @classmethod
    def of(cls, labels: Int[Tensor, " gallery"]) -> ClassColumns:
        """Group the columns of a gallery with these labels."""
        classes, inverse, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        return cls(classes, inverse.argsort(stable=True), sizes.cumsum(0) - sizes, sizes)

    @property
    def largest(self) -> int:
        """The size of the largest class."""
        return int(self.sizes.max())

    def positives(self, labels: Int[Tensor, " query"], own: Int[Tensor, " query"] | None = None) -> Columns:
        """The columns of each query's class, without the query's `own` column.

        A label that the gallery lacks has none.

        >>> grouped = ClassColumns.of(torch.tensor([7, 5, 7]))
        >>> grouped.positives(torch.tensor([7, 6]))
        Columns(columns=tensor([[0, 2],
                [0, 2]]), valid=tensor([[ True,  True],
                [False, False]]))
        """
        index = torch.searchsorted(self.classes, labels).clamp_(max=len(self.classes) - 1)
        sizes = self.sizes[index] * (self.classes[index] == labels)
        slot = torch.arange(max(1, int(sizes.max())), device=labels.device)
        valid = slot < sizes[:, None]
        places = (self.starts[index][:, None] + slot).clamp_(max=len(self.columns) - 1)
        columns = self.columns[places]
        return Columns(columns, valid if own is None else valid & (columns != own[:, None]))
