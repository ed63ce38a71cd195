"""Choosing which records `compare A B` means, from all that lie about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dmlbench.errors import UsageError, nearest
from dmlbench.results.conditions import Conditions, conditions, variant
from dmlbench.results.gather import Entry
from dmlbench.spec.record import Record

#: Fields of a record that the user may choose by; `Conditions` holds all but the last.
CHOICES = ("protocol", "task", "track", "profile", "scored", "numerics")


@dataclass(frozen=True)
class Selection:
    """Entries of each side under one set of conditions, one recipe a side, one entry a seed."""

    a: tuple[Entry, ...]
    b: tuple[Entry, ...]
    notes: tuple[str, ...]
    """What was left out, in words."""


def fitting(name: str, methods: Collection[str]) -> list[str]:
    """The full method ids among `methods` that `name` could mean.

    In this order, the first that fits: the id itself, the id without its distribution, the method
    `loss-NAME` that a bare loss runs as, and any of these with an ad-hoc recipe's `@digest`.
    """
    asked = (name, f"loss-{name}")
    rules = [
        [m for m in methods if m == name],
        *([m for m in methods if m.rpartition(":")[2] == word] for word in asked),
        [m for m in methods if m.partition("@")[0] == name],
        *([m for m in methods if m.rpartition(":")[2].partition("@")[0] == word] for word in asked),
    ]
    return next((sorted(found) for found in rules if found), [])


def resolve(name: str, methods: Collection[str]) -> str:
    """The full method id that `name` means among `methods`; see `fitting`.

    Raises `UsageError` when nothing fits, with the nearest id, or when several do.
    """
    fits = fitting(name, methods)
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UsageError(
            f"{name!r} could be any of several methods", near=", ".join(fits), way_out="write one in full"
        )
    short = {method.rpartition(":")[2]: method for method in methods}
    near = nearest(name, [*short, *methods])
    raise UsageError(
        f"no record of a method {name!r} was found",
        near=short.get(near, near) if near else None,
        way_out=f"run it first: dmlbench run {name}; or name other places with --from",
    )


def select(a: Sequence[Entry], b: Sequence[Entry], wanted: dict[str, str]) -> Selection:
    """The entries to compare, `wanted` saying what some of `CHOICES` must be.

    Conditions that both sides share are looked for. Several that differ in something that can be chosen are a
    `UsageError` naming it; several that differ in digests alone: the newest run's are taken. When none is
    shared, each side's newest are returned, for `compare` to say what differs.
    """
    kept = [_wanted(side, wanted) for side in (a, b)]
    groups = [_by_conditions(side) for side in kept]
    shared = [key for key in groups[0] if key in groups[1]]
    _require_one_choice(shared)
    notes: list[str] = []
    if len(shared) > 1:
        notes.append(
            "results of more than one version of the rules or data were found; the newest are compared"
        )
    of_a, of_b = (
        _one_recipe(group[_newest(shared, groups) if shared else _newest(list(group), [group])], notes)
        for group in groups
    )
    return Selection(of_a, of_b, tuple(notes))


_Key = tuple[Conditions, str]


def _by_conditions(side: Iterable[Entry]) -> dict[_Key, list[Entry]]:
    groups: dict[_Key, list[Entry]] = {}
    for entry in side:
        groups.setdefault((conditions(entry.record), entry.record.numerics), []).append(entry)
    return groups


def _newest(keys: list[_Key], groups: list[dict[_Key, list[Entry]]]) -> _Key:
    """The key whose newest run is newest; of equal ones the later by name."""
    return max(keys, key=lambda key: (max(e.record.run_id for group in groups for e in group[key]), key))


def _wanted(side: Sequence[Entry], wanted: dict[str, str]) -> list[Entry]:
    left = list(side)
    for name, value in wanted.items():
        there = sorted({_field(entry.record, name) for entry in left})
        left = [entry for entry in left if _field(entry.record, name) == value]
        if not left:
            raise UsageError(
                f"{side[0].record.method} has no record with {name} {value!r}",
                near=nearest(value, there),
                way_out=f"there is {', '.join(there)}",
            )
    return left


def _require_one_choice(shared: list[_Key]) -> None:
    for name in CHOICES:
        there = sorted(
            {numerics if name == "numerics" else str(getattr(key, name)) for key, numerics in shared}
        )
        if len(there) > 1:
            raise UsageError(
                f"both methods have results with more than one {name}: {', '.join(there)}",
                way_out=f"choose one: --{name} {there[0]}",
            )


def _one_recipe(entries: list[Entry], notes: list[str]) -> tuple[Entry, ...]:
    """The newest run's recipe, and of each seed its newest run."""
    ordered = sorted(entries, key=lambda entry: entry.record.run_id)
    recipe = variant(ordered[-1].record)
    by_seed = {entry.record.seed: entry for entry in ordered if variant(entry.record) == recipe}
    if len(by_seed) < len(ordered):
        older = len(ordered) - len(by_seed)
        notes.append(f"{ordered[-1].record.method}: {older} records of older runs or recipes are left out")
    return tuple(by_seed[seed] for seed in sorted(by_seed))


def _field(record: Record, name: str) -> str:
    return str(getattr(record, name))
