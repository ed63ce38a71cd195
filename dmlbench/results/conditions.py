"""What must be equal before two results may be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from dmlbench.errors import ResultsError
from dmlbench.spec.record import Record


class Conditions(NamedTuple):
    """Records with equal conditions may share a table; a digest that a record lacks is empty."""

    protocol: str
    task: str
    track: str
    profile: str
    scored: str
    budget: int
    protocol_digest: str
    task_digest: str
    track_digest: str
    data_digest: str
    metric_versions: tuple[tuple[str, int], ...]


def conditions(record: Record) -> Conditions:
    """The conditions under which `record` was made."""
    digests = record.digests
    return Conditions(
        protocol=record.protocol,
        task=record.task,
        track=record.track,
        profile=record.profile,
        scored=record.scored,
        budget=record.budget,
        protocol_digest=digests.get("protocol", ""),
        task_digest=digests.get("task", ""),
        track_digest=digests.get("track", ""),
        data_digest=digests.get("data", ""),
        metric_versions=tuple(sorted(record.metric_versions.items())),
    )


def variant(record: Record) -> str:
    """Eight hex digits that tell recipes of one method id apart: its digest and its components' sources."""
    parts = [
        record.digests.get("method", ""),
        *sorted(f"{used.role} {used.source}" for used in record.components),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def require_comparable(a: Sequence[Record], b: Sequence[Record]) -> None:
    """Raise `ResultsError`, naming the first field that differs, unless all records may be paired.

    Beside the conditions the numerics must be equal (pairing across devices or precisions compares those),
    and each side must be one method with one recipe.
    """
    for side in (a, b):
        if not side:
            raise ResultsError("there is nothing to compare: one side has no record")
        for name, of in (("method", lambda r: r.method), ("recipe (method digest, sources)", variant)):
            _require_one(name, [(of(record), record) for record in side])
    everything = [*a, *b]
    for name in Conditions._fields:
        _require_one(name, [(getattr(conditions(record), name), record) for record in everything])
    _require_one("numerics", [(record.numerics, record) for record in everything])


def _require_one(name: str, values: list[tuple[object, Record]]) -> None:
    first, first_record = values[0]
    for value, record in values:
        if value != first:
            raise ResultsError(
                f"these records cannot be compared: {name.replace('_', ' ')} differs",
                place=f"{first_record.method}: {first}, {record.method}: {value}",
                way_out="compare runs of equal protocol, task, track, budget, profile and numerics",
            )
