"""Similarities to ranks, block by block: exact, streamed, never a matrix of all pairs.

The gallery is permuted once by a seeded generator, so that a column's index is its place among ties and a
model that maps everything to one point scores chance, not the data set's order. A query is left out of its
own ranking by its index. All label sets share the products, which are the larger part of the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.counting import count_ranks, count_ties, counting_pays
from dmlbench.score.distance import similarity_to
from dmlbench.score.memory import Plan
from dmlbench.score.overlap import Overlap
from dmlbench.score.places import Places, Ranks, by_rank
from dmlbench.score.positives import Relevance, SameClass, SharedLabels
from dmlbench.score.precision import full_precision
from dmlbench.score.sorting import sort_ranks, sort_ties, stable_order, stable_rows
from dmlbench.score.ties import TieGroups, pessimistic

# Rows of the gallery that are copied at a time, so that a cast needs no second gallery.
_COPIED = 2**14


class Ranked(NamedTuple):
    """The positives of a block's queries, under one set of labels."""

    places: Places
    overlap: Overlap | None
    """Only where items have several labels."""


class Block(NamedTuple):
    """What is known of the queries `rows`."""

    rows: slice
    ranked: tuple[Ranked, ...]
    neighbours: Int[Tensor, "query nearest"] | None
    """Rows of the gallery, nearest first."""


class _How(NamedTuple):
    ties: str
    pairs: int


@dataclass(frozen=True)
class Problem:
    """Queries, what is searched, and what is relevant: tensors of one device, lengths that match."""

    queries: Float[Tensor, "query dim"]
    gallery: Float[Tensor, "gallery dim"]
    own: Int[Tensor, " query"] | None
    """The gallery row that is the query itself, -1 for none."""
    labels: Sequence[tuple[Tensor, Tensor]]
    """For each set of labels those of queries and gallery: class ids, or rows of 0 and 1."""
    curvature: float = 1.0
    ties: str = "permuted"
    tie_seed: int = 0
    neighbours: int = 0

    @cached_property
    def order(self) -> Int[Tensor, " gallery"]:
        """The gallery row of each column."""
        size = len(self.gallery)
        order = torch.arange(size) if self.ties == "stable" else permutation(size, self.tie_seed)
        return order.to(self.gallery.device)

    @cached_property
    def own_columns(self) -> Int[Tensor, " query"] | None:
        """The column that is the query itself, -1 for none."""
        return None if self.own is None else torch.where(self.own < 0, -1, self.order.argsort()[self.own])

    @cached_property
    def relevances(self) -> list[Relevance]:
        """For each set of labels, over columns."""
        return [
            (SharedLabels if labels.ndim == 2 else SameClass).of(labels, items[self.order])
            for labels, items in self.labels
        ]


def permutation(size: int, seed: int) -> Int[Tensor, " size"]:
    """The order in which ties of a gallery of this size are broken: column to item."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def rank_blocks(problem: Problem, plan: Plan) -> Iterator[Block]:
    """Rank the gallery for each query, block by block, in the order of the queries."""
    queries = problem.queries
    own = problem.own_columns
    items = copied(problem.gallery, problem.order, plan.dtype)
    similarity = similarity_to(items, plan.distance, problem.curvature)
    buffer = queries.new_empty(plan.height, plan.gallery, dtype=plan.dtype)
    how = _How(problem.ties, pairs=plan.queries * plan.gallery)
    for start in range(0, len(queries), plan.height):
        rows = slice(start, min(start + plan.height, len(queries)))
        block = buffer[: rows.stop - start]
        with full_precision():
            for first in range(0, rows.stop - start, plan.tile):
                tile = queries[start + first : rows.stop][: plan.tile].to(plan.dtype)
                similarity(_full(tile, plan.tile), buffer[first : first + plan.tile])
        own_columns = None if own is None else own[rows]
        if own_columns is not None:
            present = (own_columns >= 0).nonzero().squeeze(1)
            block[present, own_columns[present]] = -math.inf
        ranked = tuple(_ranked(block, relevance, rows, own_columns, how) for relevance in problem.relevances)
        nearest = problem.order[nearest_columns(block, problem.neighbours)] if problem.neighbours else None
        yield Block(rows, ranked, nearest)


def _full(tile: Float[Tensor, "row dim"], rows: int) -> Float[Tensor, "tile dim"]:
    """So many rows, the last one repeated: the last bit of a product depends on its shape."""
    missing = rows - len(tile)
    return torch.cat([tile, tile[-1:].expand(missing, -1)]) if missing else tile.contiguous()


def copied(
    gallery: Float[Tensor, "gallery dim"], order: Int[Tensor, " gallery"], dtype: torch.dtype
) -> Float[Tensor, "gallery dim"]:
    """The gallery in a new order, cast piece by piece; the original may be larger than the memory."""
    copy = torch.empty(gallery.shape, dtype=dtype, device=gallery.device)
    for rows, into in zip(order.split(_COPIED), copy.split(_COPIED), strict=True):
        into.copy_(gallery[rows])
    return copy


def nearest_columns(block: Float[Tensor, "query gallery"], k: int) -> Int[Tensor, "query nearest"]:
    """The first k columns of each row's ranking.

    >>> nearest_columns(torch.tensor([[0.5, 0.9, 0.5]]), 2)
    tensor([[1, 0]])
    """
    values, columns = block.topk(min(k + 1, block.shape[1]), dim=1)
    tied = (values[:, 1:] == values[:, :-1]).any(dim=1).nonzero().squeeze(1)
    columns = columns[:, :k]
    for rows in tied.split(stable_rows(block.shape[1])):  # `topk` knows no order among ties
        columns[rows] = stable_order(block[rows])[:, :k]
    return columns


def _ranked(
    block: Float[Tensor, "query gallery"], relevance: Relevance, rows: slice, own: Tensor | None, how: _How
) -> Ranked:
    positives = relevance.positives(rows, own)
    relevant = positives.valid.sum(dim=1)
    counting = counting_pays(block.device, how.pairs, float(relevant.sum()) / len(relevant))
    others = () if positives.shared is None else (positives.columns, positives.shared)
    places: Places
    if how.ties in ("expected", "pessimistic"):
        above, tied = (count_ties if counting else sort_ties)(block, positives)
        above, tied, *others = by_rank(above, tied, *others)
        places = (TieGroups if how.ties == "expected" else pessimistic)(above, tied, relevant)
    else:
        ranks, *others = by_rank((count_ranks if counting else sort_ranks)(block, positives), *others)
        places = Ranks(ranks, relevant)
    return Ranked(places, relevance.overlap(rows, *others) if others else None)
