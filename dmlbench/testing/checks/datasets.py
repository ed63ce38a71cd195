"""What a data set promises, on a few of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from dmlbench.data.items import Dataset, Item
from dmlbench.data.pictures import read_picture
from dmlbench.errors import MissingPackageError
from dmlbench.registry.registry import load_target
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import promise
from dmlbench.train.settings import resolve_settings

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_DATASET = {"dataset"}
_FEW = 6
_SIDE = 32


@promise(
    "dataset/items",
    _DATASET,
    "Items are known by their paths, and every item has the same columns, or a split cannot be repeated.",
    after=(),
)
def items(subject: Subject) -> None:
    _, found = _opened(subject)
    if len({item.path for item in found}) != len(found):
        raise CheckFailed("two items have one path")
    if any(item.columns.keys() != found[0].columns.keys() for item in found):
        raise CheckFailed("items have different columns")
    groups: dict[str, set[str]] = {}
    for item in found:
        groups.setdefault(item.label, set()).add(item.group)
    several = [label for label, own in groups.items() if len(own) > 1]
    if several and len(several) < len(groups):  # all of them: groups are identities, or parts of a class
        raise CheckFailed(f"class {several[0]!r} is in two groups, so no split can keep them apart")


@promise(
    "dataset/repeatable",
    _DATASET,
    "The order of items and the bytes of a picture are part of a task's fingerprint: they never change.",
    after=("dataset/items",),
)
def repeatable(subject: Subject) -> None:
    dataset, found = _opened(subject)
    again, once_more = _open(subject)
    if list(found) != list(once_more):
        raise CheckFailed("asked twice, lists other items")
    for item in _some(found):
        if read_picture(dataset, item, _SIDE, 3) != read_picture(again, item, _SIDE, 3):
            raise CheckFailed(f"asked twice, gives another picture of {item.path}")


@promise(
    "dataset/pictures",
    _DATASET,
    "A picture has the size and mode that was asked for, in colour and in grey, and is not blank.",
    after=("dataset/items",),
)
def pictures(subject: Subject) -> None:
    dataset, found = _opened(subject)
    for item in _some(found):
        for channels in (1, 3):
            if len(set(read_picture(dataset, item, _SIDE, channels).pixels)) < 2:
                raise CheckFailed(f"{item.path} is one flat colour at {_SIDE} x {_SIDE}")


@lru_cache(maxsize=4)
def _opened(subject: Subject) -> tuple[Dataset, Sequence[Item]]:
    return _open(subject)


def _open(subject: Subject) -> tuple[Dataset, Sequence[Item]]:
    """The data set and its items. `NotApplicable` where they lie in files that nobody has pointed at."""
    target = load_target(subject.entry)
    if target.needs_root:
        raise NotApplicable("its pictures are in files; dmlbench data verify looks at those")
    settings = resolve_settings(target, subject.settings, subject.entry.plugin.id)
    try:
        dataset = target(**settings)
        return dataset, dataset.items(None)
    except MissingPackageError as error:
        raise NotApplicable(error.one_line()) from error


def _some(found: Sequence[Item]) -> list[Item]:
    """A few items, spread over the list."""
    return list(found[:: max(1, len(found) // _FEW)])[:_FEW]
