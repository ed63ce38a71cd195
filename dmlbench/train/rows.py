"""The rows of one head in one step: real ones first, in batch order, then those that augmenters made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.train.values import NewRows

Which = Literal["all", "real", "synthetic"]


@dataclass(frozen=True)
class Rows:
    """`views` may cover only the leading rows: what an augmenter made at `unit` has no raw form."""

    views: Mapping[str, Float[Tensor, "rows dim"]]
    columns: Mapping[str, Tensor]
    """labels, indices, domain, roles, …: one value a row."""
    source: Int[Tensor, " rows"]
    """Position in the batch of the image each row came from."""
    real: int
    """How many of them are images of the batch."""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def is_synthetic(self) -> Bool[Tensor, " rows"]:
        return torch.arange(len(self), device=self.source.device) >= self.real

    def select(self, which: Which) -> Rows:
        """The rows a term sees. Views that lack any of them are left out."""
        if which == "all":
            return replace(self, views={k: v for k, v in self.views.items() if len(v) == len(self)})
        if which == "real":
            return self._cut(slice(0, self.real), self.real)
        return self._cut(slice(self.real, len(self)), 0)

    def _cut(self, part: slice, real: int) -> Rows:
        return Rows(
            {k: v[part] for k, v in self.views.items() if len(v) >= (part.stop or 0)},
            {k: v[part] for k, v in self.columns.items()},
            self.source[part],
            real,
        )

    def count(self, which: Which) -> int:
        """How many rows `select(which)` has."""
        return {"all": len(self), "real": self.real, "synthetic": len(self) - self.real}[which]

    def with_views(self, views: Mapping[str, Float[Tensor, "rows dim"]]) -> Rows:
        """The same rows seen otherwise."""
        return replace(self, views=views)

    def detach(self) -> Rows:
        """The same rows without gradient."""
        return replace(self, views={k: v.detach() for k, v in self.views.items()})

    def extend(self, new: NewRows, view: str, owner: str) -> Rows:
        """These rows followed by `new` ones in `view`. Raises `ContractError` when `new` does not fit."""
        have = self.views[view]
        if new.rows.shape[1:] != have.shape[1:] or len(new.rows) != len(new.source):
            raise ContractError(
                f"{owner} returned rows {tuple(new.rows.shape)} with {len(new.source)} sources",
                way_out=f"rows of shape (new, {have.shape[1]}) and as many sources",
            )
        if len(new.source) and int(new.source.max()) >= len(self):
            raise ContractError(
                f"{owner}: source {int(new.source.max())} is past the last of {len(self)} rows"
            )
        return Rows(
            {**self.views, view: torch.cat([have, new.rows])},
            {k: torch.cat([v, v[new.source]]) for k, v in self.columns.items()},
            torch.cat([self.source, self.source[new.source]]),
            self.real,
        )
