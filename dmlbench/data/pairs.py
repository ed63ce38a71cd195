"""Pairs of pictures to be told as one class or two, drawn by core: the same for every method."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import DataError
from dmlbench.spec.protocol import Pairs, Scored

T = TypeVar("T")
Maker = str | int
Uniform = Callable[[], float]
"""From 0 to below 1."""


@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """Row-aligned; rows are places in the side's items."""

    rows: Int[Tensor, "pair 2"]
    genuine: Bool[Tensor, " pair"]
    folds: Int[Tensor, " pair"]
    across: str
    """The column in which the two differ; empty where nothing was asked for."""


def draw_pairs(rules: Pairs, side: Scored, part: Part | TestLabels, place: str) -> DrawnPairs:
    """The pairs of one side, by its items' names, classes and makers alone.

    Classes are shuffled and dealt into folds, so that no class is in two. A genuine pair is of a class drawn
    from those of its fold that have one, every class equally likely; an impostor of two classes drawn alike.
    No pair is there twice. Python's generator draws: it promises equal numbers in all versions, and no other
    library's update moves a pair.

    Raises `DataError` when the data set has none of the columns that pairs must differ in, and when a fold
    has no pair of a kind. `place` names the data in messages.
    """
    across = across_of(rules, part, place)
    makers: Sequence[Maker] = part.columns[across] if across else range(len(part.labels))
    names = part.paths or tuple(map(str, range(len(part.labels))))
    items: dict[str, list[int]] = {}
    for item in sorted(range(len(names)), key=names.__getitem__):
        items.setdefault(part.classes[int(part.labels[item])], []).append(item)
    uniform = random.Random(f"{rules.seed}/{side}").random
    dealt = _dealt(items, rules.folds, uniform)
    folds = [_Fold({name: items[name] for name in own}, makers) for own in dealt]
    count = min(rules.genuine, *(fold.fewest for fold in folds))
    if count == 0:
        differ = f" whose pictures differ in {across!r}" if across else ""
        raise DataError(
            f"one of {rules.folds} folds of {len(items)} classes has no pair of one class, or none of two"
            f"{differ}",
            place=f"{place}, {side} side",
            way_out="a data set with more classes or pictures, or a protocol of your own with fewer folds",
        )
    rows: list[tuple[int, int]] = []
    for fold in folds:
        rows += fold.draw(fold.genuine_candidate, count, uniform)
        rows += fold.draw(fold.impostor_candidate, count, uniform)
    kind = torch.arange(2 * rules.folds).repeat_interleave(count)
    return DrawnPairs(torch.tensor(rows), kind % 2 == 0, kind // 2, across)


def across_of(rules: Pairs, part: Part | TestLabels, place: str) -> str:
    """The column in which the pictures of a pair differ; `DataError` when the data set has none of them."""
    found = next((name for name in rules.across if name in part.columns), "")
    if rules.across and not found:
        raise DataError(
            f"the data set has no column {' or '.join(map(repr, rules.across))}, in which pairs differ",
            place=place,
            way_out="a task whose data set has one",
        )
    return found


def _dealt(classes: dict[str, list[int]], folds: int, uniform: Uniform) -> list[list[str]]:
    """The classes, shuffled and dealt like cards."""
    names = sorted(classes)
    for last in range(len(names) - 1, 0, -1):
        other = int(uniform() * (last + 1))
        names[last], names[other] = names[other], names[last]
    return [names[fold::folds] for fold in range(folds)]


class _Fold:
    """Some classes, the items of each, and how many different pairs they make."""

    def __init__(self, items: dict[str, list[int]], makers: Sequence[Maker]) -> None:
        self._makers = makers
        counts = {name: _pairs_apart([makers[item] for item in own]) for name, own in items.items()}
        self._classes = list(items.values())
        self._paired = [own for name, own in items.items() if counts[name]]
        genuine = sum(counts.values())
        everything = _pairs_apart([makers[item] for own in self._classes for item in own])
        self.fewest = min(genuine, everything - genuine)
        """Pairs of the kind that has fewer."""

    def draw(
        self, candidate: Callable[[Uniform], tuple[int, int]], count: int, uniform: Uniform
    ) -> list[tuple[int, int]]:
        """So many different pairs, of different makers."""
        seen: dict[tuple[int, int], tuple[int, int]] = {}
        while len(seen) < count:
            first, second = candidate(uniform)
            if self._makers[first] != self._makers[second]:
                seen.setdefault((min(first, second), max(first, second)), (first, second))
        return list(seen.values())

    def genuine_candidate(self, uniform: Uniform) -> tuple[int, int]:
        own = _any(self._paired, uniform)
        return _any(own, uniform), _any(own, uniform)

    def impostor_candidate(self, uniform: Uniform) -> tuple[int, int]:
        first = int(uniform() * len(self._classes))
        second = int(uniform() * (len(self._classes) - 1))
        one, other = self._classes[first], self._classes[second + (second >= first)]
        return _any(one, uniform), _any(other, uniform)


def _any(items: Sequence[T], uniform: Uniform) -> T:
    return items[int(uniform() * len(items))]


def _pairs_apart(makers: Sequence[Maker]) -> int:
    """How many pairs of these items have two makers."""
    return (len(makers) ** 2 - sum(count**2 for count in Counter(makers).values())) // 2
