"""The ranks of every query's positives: exact, streamed, never a matrix of all pairs.

rank = 1 + (gallery items more similar) + (items as similar that stand earlier in the permuted gallery).

The gallery is permuted once by a seeded generator, so that a column's index is its place among ties and a
model that maps everything to one point scores chance, not the data set's order. A query is left out of its
own ranking by its index. Ranks come from sorting each row of a block and looking the positives up in it; a
row in which a positive is tied (rare, or every row of a collapsed model) is ranked again by a stable sort.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.distance import similarity_to, working_dtype
from dmlbench.score.positives import ClassColumns, Columns
from dmlbench.score.precision import full_precision

#: Pads the ranks of queries with fewer positives than others; larger than every rank, and exact as a float.
NO_RANK = 2**62

# Similarities in one matrix product, and bounds on its queries: enough for a fast product.
_TILE_ELEMENTS = 2**22
_TILE_QUERIES = (8, 128)


class RankBlock(NamedTuple):
    """Ranks of the queries `start`, `start + 1`, …, in the order in which they were given."""

    start: int
    ranks: Int[Tensor, "query positive"]
    """1-based, ascending in each row, padded with `NO_RANK`; at least one column."""
    relevant: Int[Tensor, " query"]
    """How many positives the gallery holds: R."""


def rank_blocks(
    queries: Float[Tensor, "query dim"],
    labels: Int[Tensor, " query"],
    gallery: Float[Tensor, "gallery dim"] | None = None,
    gallery_labels: Int[Tensor, " gallery"] | None = None,
    *,
    distance: str = "cosine",
    curvature: float = 1.0,
    tie_seed: int = 0,
    max_block_mib: int = 64,
) -> Iterator[RankBlock]:
    """Rank the gallery for each query, block by block; without a gallery, the other queries are ranked.

    Everything is on one device, finite and of matching lengths (`score` sees to that). Memory is a copy or
    two of the gallery and about `max_block_mib`, though never less than one product takes.
    """
    own_form = gallery is None or gallery_labels is None
    items, item_labels = (queries, labels) if own_form else (gallery, gallery_labels)
    dtype = working_dtype(distance, queries.dtype, items.dtype)
    order = permutation(len(items), tie_seed).to(items.device)
    own = order.argsort() if own_form else None
    similarity = similarity_to(items[order].to(dtype), distance, curvature)
    grouped = ClassColumns.of(item_labels[order])

    tile = _tile_queries(len(items))
    query_bytes = len(items) * (2 * dtype.itemsize + 8) + 64 * grouped.largest
    height = max(1, (max_block_mib << 20) // (query_bytes * tile)) * tile
    buffer = torch.empty(min(height, len(queries)), len(items), dtype=dtype, device=items.device)
    scratch = torch.empty_like(buffer)

    for start in range(0, len(queries), height):
        stop = min(start + height, len(queries))
        block = buffer[: stop - start]
        with full_precision():
            for first in range(start, stop, tile):
                last = min(first + tile, stop)
                similarity(queries[first:last].to(dtype), buffer[first - start : last - start])
        own_columns = None if own is None else own[start:stop]
        if own_columns is not None:
            block.scatter_(1, own_columns[:, None], -math.inf)
        positives = grouped.positives(labels[start:stop], own_columns)
        ranks = _ranks(block, positives, scratch[: stop - start], max(1, tile // 4))
        yield RankBlock(start, ranks, positives.valid.sum(dim=1))


def _tile_queries(gallery_size: int) -> int:
    """Queries in one matrix product: a power of two that follows from the gallery alone.

    The last bit of a product depends on its shape, and the memory budget must not change a bit.
    """
    least, most = _TILE_QUERIES
    wanted = max(least, min(most, _TILE_ELEMENTS // gallery_size))
    return 1 << (wanted.bit_length() - 1)


def permutation(size: int, seed: int) -> Int[Tensor, " size"]:
    """The order in which ties of a gallery of this size are broken: column to item."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def _ranks(
    block: Float[Tensor, "query gallery"],
    positives: Columns,
    scratch: Float[Tensor, "query gallery"],
    stable_rows: int,
) -> Int[Tensor, "query positive"]:
    columns, valid = positives
    # Taken from the same matrix that is ranked: equal means equal to the last bit.
    values = _sort_rows(block.gather(1, columns).masked_fill_(~valid, -math.inf)).flip(1)
    found = torch.arange(values.shape[1], device=block.device) < valid.sum(dim=1, keepdim=True)
    ascending = _sort_rows(scratch.copy_(block))
    not_above = torch.searchsorted(ascending, values, right=True)
    below = torch.searchsorted(ascending, values)
    ranks = (1 + block.shape[1] - not_above).masked_fill_(~found, NO_RANK)
    tied = (found & (not_above - below > 1)).any(dim=1).nonzero().squeeze(1)
    for rows in tied.split(stable_rows):
        ranks[rows] = _ranks_with_ties(block[rows], Columns(columns[rows], valid[rows]))
    return ranks


def _sort_rows(values: Float[Tensor, "query item"]) -> Float[Tensor, "query item"]:
    """`values` with ascending rows; the given tensor is overwritten where that is possible."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    # NumPy sorts values alone, vectorised: 13 times as fast as torch 2.13, which sorts indices too.
    rows = values.numpy()
    threads = torch.get_num_threads()
    if threads == 1:
        rows.sort(axis=1)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: part.sort(axis=1), np.array_split(rows, threads)))
    return values


def _ranks_with_ties(
    block: Float[Tensor, "query gallery"], positives: Columns
) -> Int[Tensor, "query positive"]:
    # Adding 0 turns -0.0 into 0.0: they are equal, and not every sort knows it.
    order = (block + 0.0).sort(dim=1, descending=True, stable=True).indices
    places = torch.arange(1, block.shape[1] + 1, device=block.device).expand_as(order)
    rank_of_column = torch.empty_like(order).scatter_(1, order, places)
    ranks = rank_of_column.gather(1, positives.columns).masked_fill_(~positives.valid, NO_RANK)
    return ranks.sort(dim=1).values
