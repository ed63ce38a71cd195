"""A component's settings: the keyword-only arguments after the `*`, strict and typed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_type_hints

import pydantic

from dmlbench.errors import ContractError, SpecError, nearest
from dmlbench.train.signature import location


def settings_model(target: Any, owner: str) -> type[pydantic.BaseModel]:
    """The pydantic model made from `target`'s signature (a function, or a class by its constructor)."""
    function = target.__init__ if inspect.isclass(target) else target
    keyword_only = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # a name that is imported for type checkers only
        hints = {}
    fields: dict[str, Any] = {}
    for parameter in keyword_only:
        default = ... if parameter.default is parameter.empty else parameter.default
        fallback = type(default) if default not in (..., None) else Any
        hint = hints.get(parameter.name, parameter.annotation)
        fields[parameter.name] = (
            fallback if hint is parameter.empty or isinstance(hint, str) else hint,
            default,
        )
    config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)
    try:
        return pydantic.create_model(f"{owner} settings", __config__=config, **fields)
    except pydantic.errors.PydanticUserError as error:
        raise ContractError(
            f"{owner}: a setting cannot be typed: {error}", place=location(function)
        ) from error


def resolve_settings(target: Any, given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """All settings of `target`, `given` ones validated and defaults written out.

    Raises `SpecError` for an unknown setting (the nearest named) or a value of the wrong type.
    """
    model = settings_model(target, owner)
    known = model.model_fields
    for name in given:
        if name not in known:
            raise SpecError(
                f"{owner} has no setting {name!r}",
                near=nearest(name, known),
                way_out=f"its settings: {', '.join(known) or 'none'}",
            )
    try:
        values = model.model_validate({name: _plain(value) for name, value in given.items()})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise SpecError(f"{owner}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return {name: getattr(values, name) for name in known}


def _plain(value: Any) -> Any:
    """Specs hold reals as `Decimal`; components get floats, and tuples where TOML has lists."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
