"""Data of one's own as a task: all that decides it follows from the files' content, wherever they are."""

from __future__ import annotations

import hashlib
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any, Protocol

from dmlbench.data.items import Dataset, Item
from dmlbench.data.listing import items_of
from dmlbench.data.pictures import UNREADABLE, fingerprint, unreadable
from dmlbench.data.split import SIDES, Side, split_items
from dmlbench.errors import DataError
from dmlbench.files import read_json, write_json
from dmlbench.spec.component import Component
from dmlbench.spec.model import digest
from dmlbench.spec.task import Split, Task

SEED = 0
TRAIN, VALIDATION = Decimal("0.5"), Decimal("0.1")
"""Shares of the classes; the rest tests."""
OF_TRAINING = Decimal("0.2")
"""The share of the training classes that validates, where the sides are given and none validates."""
LEAST = 2
"""Classes with two pictures that each side needs: with one, everything found is right."""
SMALL_SIDE = 48
"""Pixels. Median shorter sides below it leave a trunk that was trained on photos little to see."""
FEW_CLASSES = 32
"""Training classes. With fewer, a batch of 128 would hold more pictures of each than most data has."""
_SLUG = 32
"""Letters of a name that are kept: 8 hex digits and the id of a kind of label noise have room in an id."""
_MEASURED = 200
"""Pictures whose size is looked at, evenly spaced."""

Progress = Callable[[int, int], None]


class OwnDataset(Dataset, Protocol):
    """What a reader of one's own data does beside; both after `items`."""

    def stamp(self, item: Item) -> str:
        """What changes when the item's source may have, without reading it."""

    def side(self, item: Item) -> int:
        """The shorter side of what is seen, in pixels."""


def own_task(
    component: str,
    dataset: OwnDataset,
    root: Path,
    known: Path,
    progress: Progress | None = None,
    *,
    allow_partial: bool = False,
) -> Task:
    """The task that the data at `root`, read by `dataset`, makes.

    Its id is made of the name of `root` and of 8 hex digits of what decides the numbers. Sides are those of
    the items, or classes split by `SEED`. Sources are read for the fingerprint; what came of it is kept below
    `known` until a file's size or times change. `progress(done, total)` is called after each source. With
    `allow_partial` a source that cannot be read counts as empty, so that a store can do without it.

    `DataError` for what cannot be read, and for data of which a side has too little to be scored.
    """
    items = items_of(dataset, root)
    split = _split(items)
    sides = split_items(items, split)
    _check_sides(sides, root)
    found = _measured(
        dataset, items, known / f"{_hex(component, str(root))[:24]}.json", progress, allow_partial
    )
    rules = {"dataset": component, "split": split, "fingerprint": found["fingerprint"], **_told(items)}
    counts = {side: len({item.label for item in sides[side]}) for side in SIDES}
    told = ", ".join(f"{count:,} {_DOES[side]}" for side, count in counts.items())
    return Task(
        id=f"{slug(root.stem if root.is_file() else root.name)}-{digest(rules)[7:15]}",
        summary=f"Own data: {len(items):,} pictures of {sum(counts.values()):,} classes: {told}",
        dataset=Component(component=component),
        split=split,
        track=default_track(counts["train"], found["side"]),
        fingerprint=found["fingerprint"],
        source=str(root),
    )


def _told(items: Sequence[Item]) -> dict[str, Any]:
    """Sides and columns that the items say, e.g. roles: pictures and classes alone do not tell them."""
    told = [[item.path, item.part, dict(item.columns)] for item in items if item.part or item.columns]
    return {"told": told} if told else {}


_DOES: dict[Side, str] = {"train": "train", "validation": "validate", "test": "test"}


def slug(name: str) -> str:
    """The beginning of an id, from a name that people gave.

    >>> slug("Früchte (neu)"), slug("2024"), slug("水果")
    ('fruchte-neu', '2024', 'own')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG].rstrip("-") or "own"


def default_track(training_classes: int, shorter_side: float) -> str:
    """The track of own data that names none. How many pictures there are does not matter: budgets are in
    images seen."""
    trunk = "conv4-32px" if shorter_side < SMALL_SIDE else "lite0-96px"
    return f"own-{trunk}-d128" + ("-few" if training_classes < FEW_CLASSES else "")


def _split(items: Sequence[Item]) -> Split:
    """As the items say. Else shares, and with few classes so many to validate that they can be scored."""
    if any(item.part for item in items):
        trained = len({item.label for item in items if item.part == "train"})
        return Split(rule="given", seed=SEED, validation=_share(OF_TRAINING, trained))
    return Split(
        rule="by-group",
        seed=SEED,
        train=TRAIN,
        validation=_share(VALIDATION, len({item.label for item in items})),
    )


def _share(share: Decimal, classes: int) -> Decimal:
    least = (Decimal(LEAST) / max(classes, LEAST)).quantize(Decimal("0.0001"), ROUND_DOWN)
    return max(share, least)


def _check_sides(sides: dict[Side, list[Item]], root: Path) -> None:
    for side in SIDES:
        pictures = Counter(item.label for item in sides[side])
        if (enough := sum(count > 1 for count in pictures.values())) < LEAST:
            raise DataError(
                f"{enough} of the classes that {_DOES[side]} have two pictures or more, it takes {LEAST}",
                place=f"{root}, {len(pictures)} classes that {_DOES[side]}",
                way_out="more classes or pictures, or say which classes train, validate and test",
            )


def _measured(
    dataset: OwnDataset, items: Sequence[Item], memo: Path, progress: Progress | None, allow_partial: bool
) -> dict[str, Any]:
    """Fingerprint and median shorter side, from `memo` while no file has another size or time."""
    stamps = _hex(
        *(
            f"{item.path}\0{item.label}\0{item.labels}\0{_stamp(dataset, item, allow_partial)}"
            for item in items
        )
    )
    if memo.is_file() and (found := read_json(memo))["stamps"] == stamps:
        return found
    sources, whole = [], True
    for done, item in enumerate(items, start=1):
        try:
            sources.append((item, hashlib.sha256(dataset.source(item)).hexdigest()))
        except UNREADABLE as error:
            if not allow_partial:
                raise unreadable(dataset, item, error) from error
            sources.append((item, hashlib.sha256().hexdigest()))
            whole = False
        if progress is not None:
            progress(done, len(items))
    found = {"stamps": stamps, "fingerprint": fingerprint(sources), "side": _median_side(dataset, items)}
    if whole:
        write_json(memo, found)
    return found


def _stamp(dataset: OwnDataset, item: Item, allow_partial: bool) -> str:
    try:
        return dataset.stamp(item)
    except OSError as error:
        if allow_partial:
            return ""
        raise unreadable(dataset, item, error) from error


def _median_side(dataset: OwnDataset, items: Sequence[Item]) -> float:
    """Of the pictures that can be read: `prepare` names the others."""
    sides = []
    for item in items[:: max(1, len(items) // _MEASURED)]:
        try:
            sides.append(dataset.side(item))
        except UNREADABLE:
            continue
    return statistics.median(sides) if sides else 0


def _hex(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
