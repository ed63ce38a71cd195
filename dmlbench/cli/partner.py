"""The smoke run that one side of a comparison lacks, made on the spot.

A smoke run takes half a minute, scores validation classes and decides nothing. So after the first run of a
new loss `compare my-loss contrastive` answers without further preparation. What takes longer is the user's to
start.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

import click

from dmlbench.results.conditions import conditions
from dmlbench.results.gather import Entry
from dmlbench.results.select import fitting


def lacking(
    a: str, b: str, entries: Sequence[Entry], wanted: dict[str, str]
) -> tuple[str, list[Entry]] | None:
    """The side that has nothing to be paired with the other's newest smoke runs, and those runs.

    None when the sides share some conditions, when the newest runs are no smoke runs on validation classes,
    and when a name means several methods.
    """
    methods = {entry.record.method for entry in entries}
    found = [fitting(name, methods) for name in (a, b)]
    if any(len(ids) > 1 for ids in found):
        return None
    sides = [[e for e in entries if e.record.method in ids and _wanted(e, wanted)] for ids in found]
    known = [{_key(entry) for entry in side} for side in sides]
    if known[0] & known[1]:
        return None
    for name, other in ((b, sides[0]), (a, sides[1])):
        newest = max(other, key=lambda entry: entry.record.run_id, default=None)
        if newest and (newest.record.profile, newest.record.scored) == ("smoke", "validation"):
            return name, [entry for entry in other if _key(entry) == _key(newest)]
    return None


def make(name: str, beside: Sequence[Entry]) -> bool:
    """Run `name` as `beside` were run. False for what is no installed method or loss: `compare` says so."""
    from dmlbench.cli import run
    from dmlbench.errors import UsageError
    from dmlbench.run.methods import resolve_method

    try:
        full_id, _ = resolve_method(name)
    except UsageError:
        return False
    if "@" in full_id:
        return False
    record = beside[0].record
    click.echo(f"{full_id} has no smoke run to compare with; making it now", err=True)
    with contextlib.redirect_stdout(sys.stderr):  # its table is talk here
        click.get_current_context().invoke(
            run.command,
            methods=(name,),
            protocol=record.protocol,
            task=record.task,
            track=record.track,
            profile=record.profile,
            seeds=sorted({entry.record.seed for entry in beside}),
            numerics=record.numerics,
        )
    return True


def _key(entry: Entry) -> object:
    return conditions(entry.record), entry.record.numerics


def _wanted(entry: Entry, wanted: dict[str, str]) -> bool:
    return all(str(getattr(entry.record, name)) == value for name, value in wanted.items())
