"""Ranks by counting: each similarity of a block is compared with each positive's, in one fused pass.

A positive's rank is 1 + the items before its column that are at least as similar + the items after it that
are more similar: ties are settled by the column, and nothing is sorted. numba compiles the pass for the
processor (extra `fast`), torch.compile for a GPU; both count whole numbers, so both give what a sort gives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.places import NO_RANK
from dmlbench.score.positives import Columns
from dmlbench.score.threads import by_rows

#: Positives per query from which sorting the row is cheaper: the time of counting grows with them.
MOST_COUNTED = 1000
# Pairs of query and item below which a sort ends before a compiled kernel is loaded.
_FEWEST_PAIRS = 2**23


def counting_pays(device: torch.device, pairs: int, positives: float) -> bool:
    """Whether to count rather than sort: `pairs` in all, `positives` per query on average."""
    if pairs < _FEWEST_PAIRS or positives > MOST_COUNTED:
        return False
    return device.type == "cuda" or (device.type == "cpu" and has_numba())


@cache
def has_numba() -> bool:
    """Whether the extra `fast` is installed, works with this NumPy, and compiles."""
    try:
        import numba
    except ImportError:
        return False
    return not numba.config.DISABLE_JIT


def count_ranks(block: Float[Tensor, "query gallery"], positives: Columns) -> Int[Tensor, "query positive"]:
    """The rank of each positive, in the order of its columns; `NO_RANK` where there is none.

    >>> positives = Columns(torch.tensor([[2, 1]]), torch.tensor([[True, True]]))
    >>> count_ranks(torch.tensor([[0.5, 0.9, 0.5]]), positives)
    tensor([[3, 1]])
    """
    columns, valid = positives.columns, positives.valid
    values = block.gather(1, columns)
    if block.device.type == "cpu":
        from dmlbench.score import kernels

        before = torch.zeros_like(columns)
        by_rows(kernels.count_before, *(t.numpy() for t in (block, values, columns, valid, before)))
    else:
        before = _fused(ranks_by_comparison)(block, values, columns)
    return (before + 1).masked_fill_(~valid, NO_RANK)


def count_ties(
    block: Float[Tensor, "query gallery"], positives: Columns
) -> tuple[Int[Tensor, "query positive"], Int[Tensor, "query positive"]]:
    """(items more similar than each positive, items as similar as it, itself included).

    >>> positives = Columns(torch.tensor([[2, 1]]), torch.tensor([[True, True]]))
    >>> count_ties(torch.tensor([[0.5, 0.9, 0.5]]), positives)
    (tensor([[1, 0]]), tensor([[2, 1]]))
    """
    columns, valid = positives.columns, positives.valid
    values = block.gather(1, columns)
    if block.device.type == "cpu":
        from dmlbench.score import kernels

        above, not_below = torch.zeros_like(columns), torch.zeros_like(columns)
        by_rows(kernels.count_ties, *(t.numpy() for t in (block, values, valid, above, not_below)))
    else:
        above, not_below = _fused(ties_by_comparison)(block, values)
    return above.masked_fill(~valid, NO_RANK), (not_below - above).masked_fill_(~valid, 1)


def ranks_by_comparison(
    block: Float[Tensor, "query gallery"],
    values: Float[Tensor, "query positive"],
    columns: Int[Tensor, "query positive"],
) -> Int[Tensor, "query positive"]:
    """The items before each positive, for torch.compile to fuse: else it fills query x positive x item."""
    item = torch.arange(block.shape[1], device=block.device)
    row, value = block[:, None, :], values[:, :, None]
    before = (row > value) | ((row == value) & (item < columns[:, :, None]))
    return before.sum(dim=2)


def ties_by_comparison(
    block: Float[Tensor, "query gallery"],
    values: Float[Tensor, "query positive"],
) -> tuple[Int[Tensor, "query positive"], Int[Tensor, "query positive"]]:
    """(items above each positive, items not below it), for torch.compile to fuse."""
    row, value = block[:, None, :], values[:, :, None]
    return (row > value).sum(dim=2), (row >= value).sum(dim=2)


@cache
def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)
