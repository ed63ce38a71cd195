"""Looking through a prepared data set: what lies on each side, and whether anything lies on two."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dmlbench.data.split import SIDES, Side
from dmlbench.data.store import Prepared
from dmlbench.errors import DataError

SHOWN = 5
"""Pictures on two sides that are named."""


@dataclass(frozen=True)
class SideCount:
    """What a side has."""

    pictures: int
    classes: int
    fewest: int
    """Pictures of the smallest class; `median`, `most` of the others."""
    median: float
    most: int


@dataclass(frozen=True)
class Findings:
    """What `verify` found; nothing in it is wrong in itself."""

    sides: dict[Side, SideCount]
    shared: int
    """Pictures, equal in every stored pixel, that lie on more than one side."""
    shared_first: list[dict[Side, list[str]]] = field(default_factory=list)
    """The paths of some of them, by side."""
    left_out: list[str] = field(default_factory=list)
    """Pictures that could not be read when the store was made."""
    lacks: str = ""
    """What the data set was short of then."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Listed:
    """A side's pictures, row-aligned; it knows the test labels."""

    rows: Sequence[int]
    labels: Sequence[int]
    classes: Sequence[str]
    paths: Sequence[str]


def verify(data: Prepared, *, whole_classes: bool = True) -> Findings:
    """Hash the pictures again and look through all sides, test included.

    `DataError` when a byte has changed since they were prepared, and when the label files do not put every
    picture on one side and every class on one; with `whole_classes=False` a class may be on all.
    """
    data.verify()
    sides = listed(data)
    rows = sorted(row for side in sides.values() for row in side.rows)
    classes = Counter(name for side in sides.values() for name in side.classes)
    twice = next((name for name, count in classes.items() if whole_classes and count > 1), None)
    if rows != list(range(len(data.images))) or twice is not None:
        what = "its label files do not put every picture on one side"
        raise DataError(
            f"the store contradicts itself: {what}" + (f"; class {twice!r} is on two" if twice else ""),
            place=data.folder,
            way_out="delete the folder and prepare the data anew",
        )
    shared = _shared(data, sides)
    return Findings(
        {side: _counted(found) for side, found in sides.items()},
        len(shared),
        shared[:SHOWN],
        data.left_out,
        data.lacks,
    )


def listed(data: Prepared) -> dict[Side, _Listed]:
    """What lies on each side."""
    test = data.test_labels()
    parts = {"train": data.train, "validation": data.validation}
    rows = {**{side: part.rows for side, part in parts.items()}, "test": data.test_rows}
    found: dict[Side, _Listed] = {}
    for side in SIDES:
        part = test if side == "test" else parts[side]
        numbers = rows[side].tolist()
        paths = part.paths or tuple(f"row {row}" for row in numbers)
        found[side] = _Listed(numbers, part.labels.tolist(), part.classes, paths)
    return found


def _counted(side: _Listed) -> SideCount:
    sizes = list(Counter(side.labels).values()) or [0]
    return SideCount(
        len(side.rows), len(side.classes), min(sizes), float(statistics.median(sizes)), max(sizes)
    )


def _shared(data: Prepared, sides: dict[Side, _Listed]) -> list[dict[Side, list[str]]]:
    """Equal pictures on more than one side: their paths by side, sorted."""
    by_digest: dict[bytes, dict[Side, list[str]]] = defaultdict(lambda: defaultdict(list))
    for side, found in sides.items():
        for row, path in zip(found.rows, found.paths, strict=True):
            digest = hashlib.blake2b(data.picture(row).numpy().tobytes(), digest_size=16).digest()
            by_digest[digest][side].append(path)
    several = [
        {side: sorted(paths) for side, paths in group.items()}
        for group in by_digest.values()
        if len(group) > 1
    ]
    return sorted(several, key=lambda group: sorted(path for paths in group.values() for path in paths))
