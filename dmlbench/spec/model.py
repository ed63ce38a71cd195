"""The base of every spec: frozen, strict pydantic models with a canonical form and a digest."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue


def _real(value: object) -> object:
    """Floats as `Decimal`, with the digits they print with, also inside lists and tables."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list | tuple):
        return [_real(item) for item in value]
    if isinstance(value, dict):
        return {key: _real(item) for key, item in value.items()}
    return value


def _number(value: object) -> object:
    """Accept what TOML and JSON write for numbers; a float keeps the digits it prints with."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return Decimal(repr(value))
    return value


#: A real number in a spec. A `Decimal`, so that a digest never depends on a float's last bit.
Number = Annotated[Decimal, BeforeValidator(_number)]

#: A component's setting as TOML can say it.
Setting = Annotated[
    bool | int | Decimal | str | list[bool] | list[int] | list[Decimal] | list[str] | dict[str, Any],
    BeforeValidator(_real),
]

#: Ids name files, so their alphabet is small.
ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,63}"
Id = Annotated[str, Field(pattern=rf"^{ID_PATTERN}$")]
#: `id` or `distribution:id`
ComponentId = Annotated[str, Field(pattern=rf"^(?:{ID_PATTERN}:)?{ID_PATTERN}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]

#: Marks a field that explains and does not rule: it stays out of the digest.
PROSE: dict[str, JsonValue] = {"prose": True}
#: Marks a field that came after digests and records were published: in neither while it has its default.
ADDED: dict[str, JsonValue] = {"added": True}


class Spec(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def has_added_default(spec: Spec, name: str) -> bool:
    """Whether the field is a later one (`ADDED`) that says nothing: old digests and records stand."""
    field = type(spec).model_fields[name]
    return field.json_schema_extra == ADDED and getattr(spec, name) == field.get_default(
        call_default_factory=True
    )


def canonical(value: Any) -> Any:
    """`value` as plain JSON data: prose left out, defaults written out, numbers as text.

    >>> canonical(Decimal("5e-4"))
    '0.0005'
    """
    if isinstance(value, Spec):
        return {
            name: canonical(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if field.json_schema_extra != PROSE and not has_added_default(value, name)
        }
    if isinstance(value, Decimal):
        text = format(value.normalize(), "f")
        return "0" if text == "-0" else text
    if isinstance(value, float):
        return canonical(Decimal(repr(value)))
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(canonical(item) for item in value)
    return value


def digest(value: Any) -> str:
    """`sha256:…` of the canonical JSON of `value`: equal exactly when the rules are equal."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
