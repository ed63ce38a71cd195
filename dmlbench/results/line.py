"""A record as one canonical JSON line, and back."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any, NoReturn

from pydantic import ValidationError

from dmlbench.errors import ResultsError, nearest
from dmlbench.spec.model import has_added_default
from dmlbench.spec.record import RECORD_SCHEMA, Record


def encode(record: Record) -> bytes:
    """The one line of `record`, newline included: sorted keys, ASCII, numbers as numbers, no NaN."""
    try:
        text = json.dumps(
            record.model_dump(mode="python", exclude=_silent(record)),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
            default=_plain,
        )
    except (ValueError, TypeError) as error:
        raise ResultsError(f"the record of run {record.run_id} cannot be written: {error}") from error
    return text.encode("ascii") + b"\n"


def decode(text: str | bytes, *, place: object) -> Record:
    """The record that one JSON object describes.

    Raises `ResultsError`, naming `place`, for JSON that does not parse, NaN or infinity, a field that is
    missing, unknown or of the wrong type, and a record schema that this package does not know.
    """
    try:
        value = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"not a JSON record: {error}", place=place) from error
    if not isinstance(value, dict):
        raise ResultsError("not a JSON record: an object was expected", place=place)
    schema = value.get("record_schema", "missing")
    if isinstance(schema, int) and schema > RECORD_SCHEMA:
        raise ResultsError(
            f"record schema {schema} is newer than this dmlbench, which reads up to {RECORD_SCHEMA}",
            place=place,
            way_out="update dmlbench, then read the file again",
        )
    if type(schema) is not int or schema != RECORD_SCHEMA:
        raise ResultsError(f"record_schema is {schema!r}; it must be {RECORD_SCHEMA}", place=place)
    try:
        return Record.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "record"
        unknown = first["type"] == "extra_forbidden"
        near = nearest(str(first["loc"][-1]), Record.model_fields) if unknown else None
        raise ResultsError(f"{key}: {first['msg']}", place=place, near=near) from error


def _silent(record: Record) -> set[str]:
    """Later fields that say nothing: lines written before they came stay canonical."""
    return {name for name in type(record).model_fields if has_added_default(record, name)}


def _plain(value: Any) -> Any:
    """Settings arrive as `Decimal` from TOML; a record holds numbers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and value.is_finite() else float(value)
    raise TypeError(f"{type(value).__name__} is not JSON data")


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that a record may hold")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is no number that a record may hold")
    return value
