"""Who trains, who validates, who tests: whole groups, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Literal

from dmlbench.data.items import Item
from dmlbench.errors import DataError, SpecError
from dmlbench.spec.task import Split

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")


def split_items(items: Sequence[Item], split: Split) -> dict[Side, list[Item]]:
    """Each item on exactly one side, sorted by path; the order of `items` does not matter.

    Raises `SpecError` when the split lacks what its rule needs, `DataError` when a class has two groups or
    two parts where it must not, a group two classes where these are split, or when a side would be empty.
    """
    if split.rule == "within-class":
        groups = _classes_by_group(items, whole_classes=False)
        side_of = _within_class(groups, split)
    elif split.rule == "identities":
        groups = _classes_by_group(items, whole_classes=False)
        side_of = _identities(items, groups, split)
    elif split.rule == "by-group":
        groups = _classes_by_group(items)
        may_train = _everywhere(items, split.across) if split.across else groups.keys()
        side_of = _by_group(groups, split, may_train)
    else:
        groups = _classes_by_group(items)
        side_of = (_official if split.rule == "official" else _given)(items, groups, split)
    sides: dict[Side, list[Item]] = {side: [] for side in SIDES}
    for item in sorted(items, key=lambda item: item.path):
        sides[side_of[item.group]].append(item)
    for side in SIDES:
        if not sides[side] and _wanted(split, side):
            raise DataError(
                f"the split leaves no class to {side}",
                place=f"{len(groups)} groups of classes, rule {split.rule!r}",
                way_out="use more or smaller groups, or other shares",
            )
    return sides


def seeded_order(names: Iterable[str], seed: int | str) -> list[str]:
    """`names` shuffled by their digests: no library's random generator, so no library's update moves it."""
    return sorted(names, key=lambda name: (hashlib.sha256(f"{seed}/{name}".encode()).digest(), name))


def _by_group(groups: dict[str, set[str]], split: Split, may_train: Collection[str]) -> dict[str, Side]:
    """Sides filled in turn until the classes so far reach the summed shares: right within one group.

    Groups that may not train are shared out among the other sides in the same way.
    """
    if split.train is None or split.validation is None:
        raise SpecError(
            "the rule 'by-group' needs `train` and `validation`, shares of the classes", place="split"
        )
    scored = 1 - split.train
    rest = split.validation / scored if scored else Decimal(0)
    first = {name: classes for name, classes in groups.items() if name in may_train}
    others = {name: classes for name, classes in groups.items() if name not in may_train}
    return {
        **_filled(first, split.train, split.train + split.validation, split.seed),
        **_filled(others, Decimal(0), rest, split.seed),
    }


def _filled(groups: dict[str, set[str]], train: Decimal, validation: Decimal, seed: int) -> dict[str, Side]:
    """Groups in a seeded order; each side ends at its share of all classes."""
    total = sum(map(len, groups.values()))
    ends: tuple[tuple[Side, Decimal], ...] = (("train", train * total), ("validation", validation * total))
    sides: dict[str, Side] = {}
    classes = 0
    for group in seeded_order(groups, seed):
        sides[group] = next((side for side, end in ends if classes < end), "test")
        classes += len(groups[group])
    return sides


def _everywhere(items: Sequence[Item], column: str) -> set[str]:
    """The groups all of whose classes have items of every value of the column; `DataError` without it."""
    found: dict[str, set[str | int]] = {}
    group_of = {item.label: item.group for item in items}
    for item in items:
        if column not in item.columns:
            raise DataError(f"{item.path} has no {column!r}, by which the split tells who may train")
        found.setdefault(item.label, set()).add(item.columns[column])
    values = set[str | int]().union(*found.values())
    lacking = {group_of[label] for label, own in found.items() if own != values}
    return {*group_of.values()} - lacking


def _official(items: Sequence[Item], groups: dict[str, set[str]], split: Split) -> dict[str, Side]:
    if split.validation_groups is None:
        raise SpecError("the rule 'official' needs `validation_groups`, a number of groups", place="split")
    parts: dict[str, str] = {}
    for item in items:
        if item.part not in ("train", "test"):
            raise DataError(
                f"{item.path} has no official side",
                way_out="use the rule 'by-group' for data without official sides",
            )
        if parts.setdefault(item.group, item.part) != item.part:
            raise DataError(f"group {item.group!r} is on both official sides", place=item.path)
    train = [group for group in seeded_order(groups, split.seed) if parts[group] == "train"]
    validates = set(train[: split.validation_groups])
    trains = set(train) - validates
    return {g: "validation" if g in validates else "train" if g in trains else "test" for g in groups}


def _given(items: Sequence[Item], groups: dict[str, set[str]], split: Split) -> dict[str, Side]:
    """Sides as the items say; if none validates, training groups do until their classes reach the share."""
    sides: dict[str, Side] = {}
    first: dict[str, Item] = {}
    for item in items:
        if not item.part:
            raise DataError(
                f"{item.path} is on no side", place=item.place or None, way_out="train, validation or test"
            )
        before = first.setdefault(item.group, item)
        if sides.setdefault(item.group, item.part) != item.part:
            what = f"class {item.label!r}" if item.label == before.label else f"group {item.group!r}"
            raise DataError(
                f"{what} is on two sides: {before.part} and {item.part}",
                place=" and ".join(one.place or one.path for one in (before, item)),
                way_out="whole classes train, validate or test: nothing else is zero-shot",
            )
    if "validation" not in sides.values():
        if split.validation is None:
            raise SpecError("the rule 'given' needs `validation`, a share of the classes", place="split")
        trains = [group for group in seeded_order(groups, split.seed) if sides[group] == "train"]
        end = split.validation * sum(len(groups[group]) for group in trains)
        classes = 0
        for group in trains:
            if classes < end:
                sides[group] = "validation"
            classes += len(groups[group])
    return sides


def _within_class(groups: dict[str, set[str]], split: Split) -> dict[str, Side]:
    """Of each class as many groups for a side as its share of them says, rounded; every side gets one."""
    if split.train is None or split.validation is None:
        raise SpecError(
            "the rule 'within-class' needs `train` and `validation`, shares of each class's groups",
            place="split",
        )
    of_class: dict[str, list[str]] = {}
    for group in seeded_order(groups, split.seed):
        label, *others = sorted(groups[group])
        if others:
            raise DataError(f"group {group!r} has items of the classes {label!r} and {others[0]!r}")
        of_class.setdefault(label, []).append(group)
    sides: dict[str, Side] = {}
    for label, own in of_class.items():
        trains = max(1, round(split.train * len(own)))
        validates = max(1, round(split.validation * len(own))) if split.validation else 0
        if trains + validates >= len(own):
            raise DataError(
                f"class {label!r} has {len(own)} groups: too few for every side to have one",
                way_out="smaller groups, other shares, or a data set without this class",
            )
        for place, group in enumerate(own):
            later: Side = "validation" if place < trains + validates else "test"
            sides[group] = "train" if place < trains else later
    return sides


def _identities(items: Sequence[Item], groups: dict[str, set[str]], split: Split) -> dict[str, Side]:
    """Every class may be on every side; an identity is on one, as the items say or by the deal into folds."""
    sides: dict[str, Side] = {}
    if any(item.part for item in items):
        if split.folds is not None:
            raise SpecError(
                "the rule 'identities' deals no `folds` of items that have a side",
                place="split",
                way_out="leave out `folds` and `fold`",
            )
        for item in items:
            if not item.part:
                raise DataError(f"{item.path} is on no side", way_out="train, validation or test")
            if sides.setdefault(item.group, item.part) != item.part:
                raise DataError(
                    f"identity {item.group!r} is on two sides: {sides[item.group]} and {item.part}",
                    place=item.place or item.path,
                    way_out="whoever trained is known already: all pictures of one go to one side",
                )
        trains = [group for group in seeded_order(groups, split.seed) if sides[group] == "train"]
        if split.validation is not None and "validation" not in sides.values():
            for group in trains[: round(split.validation * len(trains))]:
                sides[group] = "validation"
    else:
        if split.folds is None or split.fold is None:
            raise SpecError("the rule 'identities' needs `folds` and `fold`", place="split")
        if split.validation is not None:
            raise SpecError(
                "the rule 'identities' takes no `validation` of items without a side: a fold validates",
                place="split",
                way_out="leave out `validation`",
            )
        if len(groups) < split.folds:
            raise DataError(f"{len(groups)} identities make no {split.folds} folds", way_out="fewer folds")
        validates = (split.fold + 1) % split.folds
        for place, group in enumerate(seeded_order(groups, split.seed)):
            later: Side = "validation" if place % split.folds == validates else "train"
            sides[group] = "test" if place % split.folds == split.fold else later
    trained = {label for group, labels in groups.items() if sides[group] == "train" for label in labels}
    for group, labels in groups.items():
        if unknown := sorted(labels - trained):
            raise DataError(
                f"class {unknown[0]!r} is on the side {sides[group]!r} and does not train",
                place=f"identity {group!r}",
                way_out="other folds, or a data set without this class",
            )
    return sides


def _classes_by_group(items: Sequence[Item], *, whole_classes: bool = True) -> dict[str, set[str]]:
    group_of: dict[str, str] = {}
    groups: dict[str, set[str]] = {}
    for item in items:
        if whole_classes and group_of.setdefault(item.label, item.group) != item.group:
            raise DataError(
                f"class {item.label!r} is in two groups, {group_of[item.label]!r} and {item.group!r}",
                place=item.place or item.path,
            )
        groups.setdefault(item.group, set()).add(item.label)
    return groups


def _wanted(split: Split, side: Side) -> bool:
    """Whether the rule asks for something on this side."""
    if side != "validation":
        return True
    return bool(split.validation_groups if split.rule == "official" else split.validation != Decimal(0))
