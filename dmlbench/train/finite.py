"""Where a loss that is not finite comes from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmlbench.errors import ContractError, RunError
from dmlbench.train.answers import describe
from dmlbench.train.calling import judging
from dmlbench.train.recipe import Recipe
from dmlbench.train.rows import Rows


def check_scalar(name: str, value: Any, way_out: str) -> Float[Tensor, ""]:
    """`value`, if it is a floating-point scalar tensor. `ContractError` for anything else."""
    if not isinstance(value, Tensor) or value.ndim != 0 or not value.is_floating_point():
        raise ContractError(f"{name} returned {describe(value)}", way_out=way_out)
    return value


def check_loss(objective: str, loss: Any, owner: str, step: int) -> None:
    """Raise unless `loss`, which `owner` yielded, is a finite scalar with a gradient."""
    check_scalar(owner, loss, "a scalar tensor")
    if not bool(torch.isfinite(loss)):
        raise RunError(
            f"the loss of objective {objective!r} is {float(loss.detach())}, from {owner}",
            place=f"step {step}",
        )
    if not loss.requires_grad:
        raise _no_gradient(f"the loss of objective {objective!r}")


def check_main(
    recipe: Recipe, rows: Mapping[str, Rows], parts: Mapping[str, Tensor], total: Tensor, step: int
) -> None:
    """Raise unless the sum of terms is finite and has a gradient; say whose doing it is, if that is known."""
    if not bool(torch.isfinite(total)):
        said = f"the loss is {float(total.detach())} ({_listed(parts)})"
        why, culprit = _origin(recipe, rows, parts, step)
        with culprit:
            raise RunError(said + why, place=f"step {step}", way_out=_LOOK_FOR if _EARLIER in why else None)
    if not total.requires_grad:
        flat = [name for name, part in parts.items() if not part.requires_grad]
        with judging(recipe.terms[flat[0]], "loss") if flat else nullcontext():
            raise _no_gradient("the loss")


_EARLIER = "a gradient of an earlier step was not finite"
_LOOK_FOR = "look for sqrt, norm or a division at zero: finite forwards, not backwards"


def _origin(
    recipe: Recipe, rows: Mapping[str, Rows], parts: Mapping[str, Tensor], step: int
) -> tuple[str, AbstractContextManager[None]]:
    """Why a sum of terms is not finite, and whom to name."""
    if not all(_finite(r.select("real").views["raw"]) for r in rows.values()):
        if step == 0:
            return ": the first embeddings are not finite", judging(recipe.backbone, "backbone")
        only = next(iter(recipe.terms.values())) if len(recipe.terms) == 1 else None
        return f": {_EARLIER}", judging(only, "loss") if only else nullcontext()
    if not all(_finite(view) for r in rows.values() for view in r.views.values()):
        last = list(recipe.augmenters.values())[-1]
        return ": an augmenter made rows that are not finite", judging(last, "augment")
    for name, part in parts.items():
        if not _finite(part):
            return "", judging(recipe.terms[name], "loss")
    if recipe.combiner is not None:
        return ": the combiner made it so", judging(recipe.combiner, "combine")
    return ": a weight made it so", nullcontext()


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _no_gradient(what: str) -> ContractError:
    return ContractError(
        f"{what} has no gradient",
        way_out="a loss made of the tensors that were handed in, without detach(), item() or numpy()",
    )


def _listed(parts: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {float(part.detach()):.4g}" for name, part in parts.items())
