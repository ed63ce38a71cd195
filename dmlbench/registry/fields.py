"""Whether a descriptor's fields have the types that their annotations say."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dmlbench.errors import ContractError, nearest


def check_fields(descriptor: Any, of: type) -> None:
    """`ContractError` for the first field of the dataclass `of` that has a value of a wrong type.

    Understands `str`, `Literal`, `tuple[str, ...]` and `Mapping[str, str]`.
    """
    hints = _hints(of)
    for field in fields(of):
        value = getattr(descriptor, field.name)
        if wanted := _wanted(value, hints[field.name]):
            choices = [choice for choice in get_args(hints[field.name]) if isinstance(choice, str)]
            raise ContractError(
                f"{of.__name__} {getattr(descriptor, 'id', '')!r}: {field.name} = {value!r} is not {wanted}",
                near=nearest(value, choices) if isinstance(value, str) else None,
            )


@functools.cache
def _hints(of: type) -> dict[str, Any]:
    return get_type_hints(of)


def _wanted(value: object, hint: Any) -> str | None:
    """What `value` should have been; None when it is right."""
    kind = get_origin(hint)
    if kind is Literal:
        return None if value in get_args(hint) else " or ".join(map(repr, get_args(hint)))
    if kind is tuple:
        right = isinstance(value, tuple) and all(isinstance(item, str) for item in value)
        return None if right else "a tuple of str, e.g. ('timm',)"
    if kind is Mapping:
        right = isinstance(value, Mapping) and all(isinstance(x, str) for pair in value.items() for x in pair)
        return None if right else "a dict of str to str"
    return None if isinstance(value, str) else "a str"
