"""Who asks and who is asked: a column says it, and where nobody is told yet, core deals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from dmlbench.data.split import seeded_order
from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import DataError
from dmlbench.spec.protocol import Gallery, Scored

ASKS, ASKED = 0, 1


@dataclass(frozen=True, eq=False)
class Roles:
    """Places in the side's items. No item is in both."""

    queries: Int[Tensor, " query"]
    gallery: Int[Tensor, " item"]


def roles_of(rules: Gallery, side: Scored, part: Part | TestLabels, place: str) -> Roles:
    """The side's queries and its gallery, by its items' names, classes and column alone.

    Of validation items without a value, where the rules deal them, each class's are put in a seeded order of
    their names; the first half of them, rounded down, ask. So a class with two items or more has both.

    Raises `DataError` when an item is neither, and when a side has no queries or no gallery. `place` names
    the data in messages.
    """
    values = column_of(rules, part, place)
    dealt = [item for item, value in enumerate(values) if value == ""]
    if not (rules.dealt and side == "validation"):
        dealt = []
    asks = torch.tensor(_numbers(rules, values, {*dealt}, f"{place}, {side} side"))
    for own in _by_class(part, dealt, rules.seed).values():
        asks[own[: len(own) // 2]] = ASKS
    roles = Roles((asks == ASKS).nonzero().flatten(), (asks == ASKED).nonzero().flatten())
    for items, wanted in ((roles.queries, rules.queries), (roles.gallery, rules.gallery)):
        if not len(items):
            raise DataError(
                f"no item has the {rules.column} {' or '.join(map(repr, wanted))}",
                place=f"{place}, {side} side",
                way_out="a task whose data set has both",
            )
    return roles


def domains_of(rules: Gallery, values: Sequence[str | int], place: str) -> Int[Tensor, " item"]:
    """0 for an item that asks, 1 for one that is asked: alike on all sides. `DataError` for another value."""
    return torch.tensor(_numbers(rules, [str(value) for value in values], set(), place), dtype=torch.int64)


def column_of(rules: Gallery, part: Part | TestLabels, place: str) -> list[str]:
    """The column's value of each item; `DataError` where the data set has no such column."""
    if rules.column not in part.columns:
        raise DataError(
            f"the data set has no column {rules.column!r}, which says who asks and who is asked",
            place=place,
            way_out="a task whose data set has it",
        )
    return [str(value) for value in part.columns[rules.column]]


def _numbers(rules: Gallery, values: Sequence[str], dealt: set[int], place: str) -> list[int]:
    """Of each item whether it asks or is asked; those to be dealt are asked until then."""
    number = dict.fromkeys(rules.gallery, ASKED) | dict.fromkeys(rules.queries, ASKS)
    strange = [value for item, value in enumerate(values) if value not in number and item not in dealt]
    if strange:
        raise DataError(
            f"items of {rules.column} {strange[0]!r} neither ask nor are asked",
            place=place,
            way_out=f"those of {', '.join(rules.queries)} ask, {', '.join(rules.gallery)} are asked",
        )
    return [number.get(value, ASKED) for value in values]


def _by_class(part: Part | TestLabels, items: Sequence[int], seed: int) -> dict[int, list[int]]:
    """`items` by class, each class's in a seeded order of their names."""
    names = {part.paths[item] if part.paths else str(item): item for item in items}
    classes: dict[int, list[int]] = {}
    for name in seeded_order(names, seed):
        item = names[name]
        classes.setdefault(int(part.labels[item]), []).append(item)
    return classes
