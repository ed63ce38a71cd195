"""From the terms' answers to one number to differentiate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmlbench.errors import ContractError, nearest
from dmlbench.train.calls import Calls
from dmlbench.train.recipe import Recipe
from dmlbench.train.scope import Scope


def part_value(name: str, answer: Any, log: dict[str, float]) -> Tensor | None:
    """A term's answer as one scalar: a scalar, the sum of a dict of named scalars, None for nothing to count.

    Named parts go into `log` as `term.part`. Raises `ContractError` for anything else.
    """
    if answer is None:
        return None
    if isinstance(answer, Mapping):
        if not answer:
            raise ContractError(f"{name} returned an empty dict", way_out="None says that nothing counted")
        values = {key: _scalar(f"{name}.{key}", value) for key, value in answer.items()}
        log.update({f"{name}.{key}": float(value.detach()) for key, value in values.items()})
        return torch.stack(list(values.values())).sum()
    return _scalar(name, answer)


def _scalar(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim != 0:
        what = (
            f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        )
        raise ContractError(
            f"{name} returned {what}",
            way_out="a scalar tensor, a dict of scalars, or None when nothing counted",
        )
    return value


def combine(
    recipe: Recipe, calls: Calls, scope: Scope, parts: dict[str, Tensor], valid: dict[str, bool]
) -> Float[Tensor, ""]:
    """What the combiner makes of the terms, or their weighted sum."""
    if recipe.combiner is None:
        return _weighted_sum(recipe, parts)
    return calls.call(recipe.combiner, "combine", scope.child(parts=parts, valid=valid))


def _weighted_sum(recipe: Recipe, parts: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """The recipe's sum of weight x part; a term with nothing to count adds its zero."""
    total = None
    for name, term in recipe.method.terms.items():
        value = parts[name] * _weight(recipe, name, term.weight)
        total = value if total is None else total + value
    if total is None:
        raise ContractError("the recipe has no term")
    return total


def _weight(recipe: Recipe, name: str, weight: Any) -> float | Tensor:
    """A number, or a scalar that another component keeps: `COMPONENT.ATTRIBUTE`."""
    if not isinstance(weight, str):
        return float(weight)
    owner, _, attribute = weight.rpartition(".")
    if owner not in recipe.components:
        raise ContractError(
            f"{name}: weight {weight!r} names no component of the recipe",
            near=nearest(owner, recipe.components),
        )
    component = recipe.components[owner].object
    if not hasattr(component, attribute):
        raise ContractError(f"{name}: {owner} has no {attribute!r}", near=nearest(attribute, dir(component)))
    value = getattr(component, attribute)
    return value.detach() if isinstance(value, Tensor) else float(value)
