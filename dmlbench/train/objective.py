"""From the terms' answers to one number to differentiate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.train.calling import judging
from dmlbench.train.calls import Calls
from dmlbench.train.finite import check_scalar
from dmlbench.train.recipe import Recipe
from dmlbench.train.recipe_checks import kept_scalar
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope

_ANSWERS = "a floating-point scalar tensor, a dict of such scalars, or None when nothing counted"


def values_of_terms(
    recipe: Recipe, calls: Calls, scope: Scope, rows: Mapping[str, Rows], step: int, log: dict[str, float]
) -> tuple[dict[str, Tensor], dict[str, bool]]:
    """Each term's unweighted value, and whether it had anything to count. Values go into `log` by name."""
    nothing = torch.stack([r.views["raw"].sum() for r in rows.values()]).sum() * 0.0
    parts: dict[str, Tensor] = {}
    valid: dict[str, bool] = {}
    for name, term in recipe.method.terms.items():
        sight = recipe.sights[name]
        value = None
        if step >= term.from_step and rows[sight.head].count(sight.rows):
            seen = calls.seen_by(name, scope, rows[sight.head])
            built = recipe.terms[name]
            with judging(built, "loss"):
                value = part_value(name, calls.call(built, "loss", seen), log)
        parts[name], valid[name] = (nothing, False) if value is None else (value, True)
        log[name] = float(parts[name].detach())
    return parts, valid


def part_value(name: str, answer: Any, log: dict[str, float]) -> Tensor | None:
    """A term's answer as one scalar: a scalar, the sum of a dict of named scalars, None for nothing to count.

    Named parts go into `log` as `term.part`. Raises `ContractError` for anything else.
    """
    if answer is None:
        return None
    if isinstance(answer, Mapping):
        if not answer:
            raise ContractError(f"{name} returned an empty dict", way_out="None says that nothing counted")
        values = {key: check_scalar(f"{name}.{key}", value, _ANSWERS) for key, value in answer.items()}
        log.update({f"{name}.{key}": float(value.detach()) for key, value in values.items()})
        return torch.stack(list(values.values())).sum()
    return check_scalar(name, answer, _ANSWERS)


def combine(
    recipe: Recipe, calls: Calls, scope: Scope, parts: dict[str, Tensor], valid: dict[str, bool]
) -> Float[Tensor, ""]:
    """What the combiner makes of the terms, or their weighted sum."""
    if recipe.combiner is None:
        return _weighted_sum(recipe, parts)
    total = calls.call(recipe.combiner, "combine", scope.child(parts=parts, valid=valid))
    with judging(recipe.combiner, "combine"):
        return check_scalar(recipe.combiner.name, total, "a scalar tensor made of the parts")


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
    value = kept_scalar(recipe.components, name, weight)
    return value.detach() if isinstance(value, Tensor) else value
