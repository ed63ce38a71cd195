"""Reading TOML into a spec, with errors that name the file and the key."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from dmlbench.errors import SpecError, nearest
from dmlbench.spec.model import Spec

S = TypeVar("S", bound=Spec)


def parse_toml(text: str, *, place: object) -> dict[str, Any]:
    """The table in `text`, its reals as `Decimal`."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"not valid TOML: {error}", place=place) from error


def build_spec(model: type[S], data: dict[str, Any], *, place: object) -> S:
    """`data` as a `model`; the first thing that is wrong with it is the error."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or model.__name__
        near = nearest(str(first["loc"][-1]), _keys(model)) if first["type"] == "extra_forbidden" else None
        raise SpecError(f"{key}: {first['msg']}", place=place, near=near) from error


def load_spec(model: type[S], path: Path) -> S:
    """The `model` that the TOML file at `path` describes."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(f"cannot read the file: {reason}", place=path) from error
    return build_spec(model, parse_toml(text, place=path), place=path)


def _keys(model: type[Spec]) -> set[str]:
    """Every key that a file of this kind may hold, in any of its tables."""
    schema = model.model_json_schema()
    tables = [schema, *schema.get("$defs", {}).values()]
    return {key for table in tables for key in table.get("properties", {})}
