"""Where a query's positives stand, and what metrics ask of it: exactly, when no ties are left.

Two kinds of `Places` answer the same questions: `Ranks`, for rankings without ties, and `ties.TieGroups`,
which gives the expectation over the orders of tied items. So a metric is written once, in `metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

Values = Float[Tensor, " query"]
#: Pads the ranks of queries with fewer positives than others; larger than every rank, and exact as a float.
NO_RANK = 2**62
#: A cut-off for all queries, or one for each.
CutOff = int | Int[Tensor, " query"]


class Places(Protocol):
    """Positives of some queries, each query's in the order of the ranking, padded at the end."""

    relevant: Int[Tensor, " query"]
    """R: how many positives the gallery holds."""

    def inside(self, k: CutOff) -> Float[Tensor, "query positive"]:
        """1 for a positive among the first k, else 0."""

    def hit(self, k: CutOff) -> Values:
        """1 if any positive is among the first k, else 0."""

    def precision(self, k: CutOff | None = None) -> Float[Tensor, "query positive"]:
        """The precision at each positive's rank, 0 for those not among the first k."""

    def discount(self, k: int) -> Float[Tensor, "query positive"]:
        """1 / log2(rank + 1) for a positive among the first k, else 0."""

    def reciprocal(self) -> Values:
        """1 / rank of the first positive."""

    def exact(self, metric: str) -> Ranks:
        """The ranks themselves, for a metric that has no closed form over ties; `UsageError` if there are
        any.
        """


@dataclass(frozen=True)
class Ranks:
    """1-based ranks, ascending, at least one column, padded with `NO_RANK`; no answer depends on that."""

    ranks: Int[Tensor, "query positive"]
    relevant: Int[Tensor, " query"]

    def inside(self, k: CutOff) -> Float[Tensor, "query positive"]:
        """See `Places`.

        >>> Ranks(torch.tensor([[2, 3]]), torch.tensor([2])).inside(2)
        tensor([[1., 0.]], dtype=torch.float64)
        """
        return (self.ranks <= column(k)).double()

    def hit(self, k: CutOff) -> Values:
        return (self.ranks[:, 0] <= k).double()

    def precision(self, k: CutOff | None = None) -> Float[Tensor, "query positive"]:
        nth = torch.arange(1, self.ranks.shape[1] + 1, device=self.ranks.device)
        counted = nth <= self.relevant[:, None] if k is None else self.ranks <= column(k)
        return torch.where(counted, nth / self.ranks.double(), 0.0)

    def discount(self, k: int) -> Float[Tensor, "query positive"]:
        k = min(k, int(torch.where(self.ranks < NO_RANK, self.ranks, 1).max()))
        places = torch.arange(2, k + 2, device=self.ranks.device, dtype=torch.float64)
        by_rank = torch.nn.functional.pad(1 / places.log2(), (1, 1))  # rank 0 is none, k + 1 is all beyond
        return by_rank[self.ranks.clamp(max=k + 1)]

    def reciprocal(self) -> Values:
        return 1 / self.ranks[:, 0].double()

    def exact(self, metric: str) -> Ranks:
        return self


def column(k: CutOff) -> int | Int[Tensor, "query 1"]:
    """A cut-off, ready to be compared with rows of ranks."""
    return k if isinstance(k, int) else k[:, None]


def total(parts: Float[Tensor, "query positive"]) -> Values:
    """Sums of rows, from left to right: `sum` groups its terms by the width, and so by the padding."""
    return parts.cumsum(dim=1)[:, -1]


def by_rank(
    ranks: Int[Tensor, "query positive"], *others: Shaped[Tensor, "query positive"]
) -> tuple[Tensor, ...]:
    """Each row sorted by `ranks`, the `others` in the same order."""
    ranks, order = ranks.sort(dim=1, stable=True)
    return ranks, *(other.gather(1, order) for other in others)
