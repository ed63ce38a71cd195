"""Few images of a class: which may be learnt from, which are scored, which few are shown. By names alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from dmlbench.data.split import seeded_order
from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import DataError
from dmlbench.spec.protocol import Shots


@dataclass(frozen=True, eq=False)
class Divided:
    """Places in the items of one side. Each is in one of the two."""

    pool: Int[Tensor, " image"]
    """What may be learnt from, ascending."""
    scored: Int[Tensor, " item"]
    """The others, in an order that tells nothing of their classes."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The labelled images of novel classes, as places in the items of their side."""

    places: Int[Tensor, "draw class shot"]
    """Classes ascending. The first n of each are what is shown of it where the number is n."""
    numbers: tuple[int, ...]
    """Those of the protocol's numbers that every class has images for."""


def divided(rules: Shots, part: Part | TestLabels, place: str, *, novel: bool) -> Divided:
    """The images of each class in two: a column says how, or the order of digests of the seed and the names.

    With `novel` every class needs an image on either side; a base class with one image trains on it and is
    not scored. `place` names the data in messages.

    Raises `DataError` for such a class, and for a column that says something else than `train` and `test`.
    """
    names = _names(part)
    column = next((name for name in rules.published if name in part.columns), "")
    found: dict[str, list[int]] = {"train": [], "test": []}
    for label, items in _by_class(part).items():
        sides = (
            {side: [item for item in items if part.columns[column][item] == side] for side in found}
            if column
            else _drawn(rules, items, names)
        )
        if column and sum(map(len, sides.values())) < len(items):
            raise DataError(f"column {column!r} says something else than train and test", place=place)
        pool, scored = sides["train"], sides["test"]
        if not pool or (novel and not scored):
            raise DataError(
                f"class {part.classes[label]!r} has {len(pool)} images to learn from and {len(scored)} to "
                "score",
                place=place,
                way_out="a data set with two images or more of every class, on either side of its own split",
            )
        found["train"] += pool
        found["test"] += scored
    hidden = {names[item]: item for item in found["test"]}
    scored = [hidden[name] for name in seeded_order(hidden, f"{rules.seed}/scored")]
    return Divided(torch.tensor(sorted(found["train"])), torch.tensor(scored, dtype=torch.int64))


def part_of(part: Part, places: Int[Tensor, " item"]) -> Part:
    """The items at those places, with the classes of all."""
    chosen = places.tolist()
    return replace(
        part,
        rows=part.rows[places],
        labels=part.labels[places],
        columns={name: [column[item] for item in chosen] for name, column in part.columns.items()},
        paths=tuple(part.paths[item] for item in chosen) if part.paths else (),
    )


def shown(rules: Shots, part: Part | TestLabels, pool: Int[Tensor, " image"], place: str) -> Shown:
    """For each draw as many images of each class's pool as the largest number asks for that all can give.

    `DataError` where the least number is too many.
    """
    names, own = _names(part), set(pool.tolist())
    pools = [[item for item in items if item in own] for items in _by_class(part).values()]
    fewest = min(map(len, pools))
    numbers = tuple(number for number in rules.numbers if number <= fewest)
    if not numbers:
        raise DataError(
            f"a class has {fewest} images to learn from; {min(rules.numbers)} is the least number",
            place=place,
            way_out="a data set with more images of each class",
        )
    places = [
        [_ordered(items, names, f"{rules.seed}/{draw}")[: max(numbers)] for items in pools]
        for draw in range(rules.draws)
    ]
    return Shown(torch.tensor(places), numbers)


def _drawn(rules: Shots, items: Sequence[int], names: Sequence[str]) -> dict[str, list[int]]:
    order = _ordered(items, names, f"{rules.seed}/pool")
    most = max(1, len(items) - 1)
    pool = min(most, max(1, int(rules.pool * len(items))))
    return {"train": order[:pool], "test": order[pool:]}


def _ordered(items: Sequence[int], names: Sequence[str], seed: str) -> list[int]:
    of_name = {names[item]: item for item in items}
    return [of_name[name] for name in seeded_order(of_name, seed)]


def _names(part: Part | TestLabels) -> Sequence[str]:
    return part.paths or tuple(map(str, range(len(part.labels))))


def _by_class(part: Part | TestLabels) -> dict[int, list[int]]:
    """Places of each class's items, classes ascending."""
    found: dict[int, list[int]] = {label: [] for label in range(len(part.classes))}
    for item, label in enumerate(part.labels.tolist()):
        found[label].append(item)
    return found
