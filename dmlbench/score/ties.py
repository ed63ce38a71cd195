"""Ties: what a metric gives on average over the orders of tied items, and at worst.

A group of m tied items, r of them relevant, stands after s items of which c are relevant. All that a metric
asks is a sum over positives, so each positive gets its group's expectation over r (docs/metrics.md, ties).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import UsageError
from dmlbench.score.places import NO_RANK, CutOff, Ranks, Values, column

#: How ties are settled: a seeded permutation of the gallery, its own order, the mean over all orders, the
#: worst.
TIES = ("permuted", "stable", "expected", "pessimistic")

# Orders of one tie group that are looked at together.
_ELEMENTS = 2**20


@dataclass(frozen=True)
class TieGroups:
    """Positives as (s, m): `above` items stand before their tie group, which has `tied` items, one at least.

    `above` ascends in each row and is padded with `NO_RANK`.
    """

    above: Int[Tensor, "query positive"]
    tied: Int[Tensor, "query positive"]
    relevant: Int[Tensor, " query"]

    @cached_property
    def before(self) -> Int[Tensor, "query positive"]:
        """c: the positives before each tie group."""
        return torch.searchsorted(self.above, self.above)

    @cached_property
    def positives(self) -> Int[Tensor, "query positive"]:
        """r: the positives in each tie group."""
        return torch.searchsorted(self.above, self.above, right=True) - self.before

    def inside(self, k: CutOff) -> Float[Tensor, "query positive"]:
        """The share of the group that stands among the first k.

        >>> TieGroups(torch.tensor([[0, 0]]), torch.tensor([[4, 4]]), torch.tensor([2])).inside(1)
        tensor([[0.2500, 0.2500]], dtype=torch.float64)
        """
        return self._reached(k) / self.tied.double()

    def hit(self, k: CutOff) -> Values:
        """1 - C(m-r, k-s) / C(m, k-s) for the first group that holds a positive."""
        m, r = self.tied[:, 0].double(), self.positives[:, 0].double()
        reached = self._reached(k)[:, 0].double()
        misses = m - r
        missed = _log_choose(misses, reached.minimum(misses)) - _log_choose(m, reached)
        return torch.where(reached > misses, 1.0, -torch.expm1(missed))

    def precision(self, k: CutOff | None = None) -> Float[Tensor, "query positive"]:
        """The group's part of the sum of precisions, over r.

        The p-th item of the group is relevant with chance r/m and then has c + 1 + (p-1)(r-1)/(m-1) positives
        up to it, on average, among s + p items. Linear in p over s + p, so its sum is one of harmonic
        numbers.
        """
        s, m = self.above.double(), self.tied.double()
        slope = (self.positives - 1) / (m - 1).clamp(min=1)
        reached = (self.tied if k is None else self._reached(k)).double()
        harmonic = torch.special.digamma(s + reached + 1) - torch.special.digamma(s + 1)
        share = ((self.before + 1 - slope - slope * s) * harmonic + slope * reached) / m
        return share.masked_fill(self.above == NO_RANK, 0.0)

    def discount(self, k: int) -> Float[Tensor, "query positive"]:
        """The group's mean discount: every item of the group gets the group's mean gain."""
        k = min(k, int(torch.where(self.above < NO_RANK, self.above + self.tied, 1).max()))
        places = torch.arange(2, k + 2, device=self.above.device, dtype=torch.float64)
        summed = torch.nn.functional.pad((1 / places.log2()).cumsum(0), (1, 0))
        start = self.above.clamp(max=k)
        return (summed[start + self._reached(k)] - summed[start]) / self.tied.double()

    def reciprocal(self) -> Values:
        """Sum over p of 1 / (s+p) times the chance C(m-p, r-1) / C(m, r) that the group's first is p-th."""
        widest = int(self.tied[:, 0].max())
        rows = zip(*(part.split(max(1, _ELEMENTS // widest)) for part in self._first()), strict=True)
        return torch.cat([_mean_reciprocal(s, m, r) for s, m, r in rows])

    def exact(self, metric: str) -> Ranks:
        """`UsageError`, when an order would change the answer."""
        if bool((self.tied > 1).any()):
            raise UsageError(
                f"{metric} has no closed form over ties", way_out="ties='permuted' settles them by a seed"
            )
        return Ranks((self.above + 1).masked_fill(self.above == NO_RANK, NO_RANK), self.relevant)

    def _first(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.above[:, 0].double(), self.tied[:, 0].double(), self.positives[:, 0].double()

    def _reached(self, k: CutOff) -> Int[Tensor, "query positive"]:
        """How many places of each group are among the first k."""
        return (column(k) - self.above).clamp(min=0).minimum(self.tied)


def pessimistic(
    above: Int[Tensor, "query positive"], tied: Int[Tensor, "query positive"], relevant: Int[Tensor, " query"]
) -> Ranks:
    """Ranks when the irrelevant items of a tie group come first: the lower bound.

    >>> pessimistic(torch.tensor([[0, 0]]), torch.tensor([[5, 5]]), torch.tensor([2])).ranks
    tensor([[4, 5]])
    """
    nth = torch.arange(1, above.shape[1] + 1, device=above.device)
    last = torch.searchsorted(above, above, right=True)
    ranks = (above + tied - last + nth).masked_fill(above == NO_RANK, NO_RANK)
    return Ranks(ranks, relevant)


def _log_choose(n: Float[Tensor, " query"], k: Float[Tensor, " query"]) -> Values:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def _mean_reciprocal(s: Tensor, m: Tensor, r: Tensor) -> Values:
    p = torch.arange(1, int(m.max()) + 1, device=s.device, dtype=torch.float64)
    s, m, r = s[:, None], m[:, None], r[:, None]
    possible = p <= m - r + 1
    chance = _log_choose((m - p).clamp(min=0).maximum(r - 1), r - 1) - _log_choose(m, r)
    return torch.where(possible, chance.exp() / (s + p), 0.0).sum(dim=1)
