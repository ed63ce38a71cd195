"""Ranks by sorting: each row once, and its positives looked up in it. For rows with very many positives, for
small jobs, and where no kernel is compiled; the numbers are those of `counting`."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.places import NO_RANK
from dmlbench.score.positives import Columns
from dmlbench.score.threads import by_rows

# Elements of a stable sort at a time: it needs five times their memory.
_STABLE_ELEMENTS = 2**22


def sort_ranks(block: Float[Tensor, "query gallery"], positives: Columns) -> Int[Tensor, "query positive"]:
    """The rank of each positive, in the order of its columns, ties by column; `NO_RANK` where there is none.

    >>> positives = Columns(torch.tensor([[2, 1]]), torch.tensor([[True, True]]))
    >>> sort_ranks(torch.tensor([[0.5, 0.9, 0.5]]), positives)
    tensor([[3, 1]])
    """
    above, tied = sort_ties(block, positives)
    ranks = above.add(1).masked_fill_(~positives.valid, NO_RANK)
    # Rare, or every row of a collapsed model.
    rows = (tied > 1).any(dim=1).nonzero().squeeze(1)
    for some in rows.split(stable_rows(block.shape[1])):
        columns, valid = positives.columns[some], positives.valid[some]
        ranks[some] = _places(stable_order(block[some])).gather(1, columns).masked_fill_(~valid, NO_RANK)
    return ranks


def sort_ties(
    block: Float[Tensor, "query gallery"], positives: Columns
) -> tuple[Int[Tensor, "query positive"], Int[Tensor, "query positive"]]:
    """(items more similar than each positive, items as similar as it, itself included).

    >>> positives = Columns(torch.tensor([[2, 1]]), torch.tensor([[True, True]]))
    >>> sort_ties(torch.tensor([[0.5, 0.9, 0.5]]), positives)
    (tensor([[1, 0]]), tensor([[2, 1]]))
    """
    columns, valid = positives.columns, positives.valid
    # Taken from the same matrix that is ranked: equal means equal to the last bit.
    values = block.gather(1, columns)
    ascending = _sort_rows(block.clone())
    not_above = torch.searchsorted(ascending, values, right=True)
    below = torch.searchsorted(ascending, values)
    return (
        (block.shape[1] - not_above).masked_fill_(~valid, NO_RANK),
        (not_above - below).masked_fill_(~valid, 1),
    )


def stable_order(block: Float[Tensor, "query gallery"]) -> Int[Tensor, "query gallery"]:
    """Columns from the most similar to the least, the earlier of two tied ones first."""
    # Adding 0 turns -0.0 into 0.0: they are equal, and not every sort knows it.
    return (block + 0.0).sort(dim=1, descending=True, stable=True).indices


def stable_rows(items: int) -> int:
    """Rows of so many items that are sorted together."""
    return max(1, _STABLE_ELEMENTS // items)


def _places(order: Int[Tensor, "query gallery"]) -> Int[Tensor, "query gallery"]:
    places = torch.arange(1, order.shape[1] + 1, device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _sort_rows(values: Float[Tensor, "query item"]) -> Float[Tensor, "query item"]:
    """`values` with ascending rows; the given tensor is overwritten where that is possible."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    # NumPy sorts values alone, vectorised: several times as fast as torch, which sorts indices too.
    by_rows(lambda rows: rows.sort(axis=1), values.numpy())
    return values
