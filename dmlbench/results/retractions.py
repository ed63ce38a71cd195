"""Striking rows: a retraction names a run and a reason; the record itself stays where it is."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from dmlbench.errors import ResultsError
from dmlbench.results.appending import append_line, locked
from dmlbench.results.layout import RETRACTIONS
from dmlbench.spec.model import Spec
from dmlbench.spec.record import RunKey


class Retraction(Spec):
    """All records of `run_key` on the board are struck."""

    run_key: RunKey
    reason: Annotated[str, Field(min_length=1)]
    date: str
    """The day it was struck, `YYYY-MM-DD`."""

    @field_validator("date")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        if date.fromisoformat(value).isoformat() != value:
            raise ValueError("a date is written YYYY-MM-DD")
        return value


def read_retractions(folder: Path) -> dict[str, Retraction]:
    """The board's retractions by run key; the first one of a key stands. Empty without a file."""
    path = folder / RETRACTIONS
    if not path.exists():
        return {}
    struck: dict[str, Retraction] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            retraction = Retraction.model_validate_json(line, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "retraction"
            raise ResultsError(
                f"{key}: {first['msg']}",
                place=f"{path}, line {number}",
                way_out='a line is {"date": "2026-01-31", "reason": "…", "run_key": "…"}',
            ) from error
        struck.setdefault(retraction.run_key, retraction)
    return struck


def retract(folder: Path, retraction: Retraction) -> None:
    """Strike a run on the board `folder`."""
    path = folder / RETRACTIONS
    line = json.dumps(retraction.model_dump(), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with locked(path):
        append_line(path, line)
