"""What components answer, looked at before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.train.scope import Scope
from dmlbench.train.values import Batch, NewRows, Pairs, Triplets

if TYPE_CHECKING:
    from dmlbench.train.component import Built
    from dmlbench.train.recipe import Recipe


def check_answer(built: Built, moment: str, values: Mapping[str, Any], answer: Any) -> None:
    """Raise `ContractError` when `answer` cannot be what `moment` asks for. `values` were the arguments."""
    if check := _CHECKS.get(moment):
        check(built, _by_name(built, moment, values), answer)


def _features(built: Built, values: Mapping[str, Any], answer: Any) -> None:
    features = answer[0] if isinstance(answer, tuple) and answer else answer
    rows = len(values["images"]) if "images" in values else None
    _matrix(built, features, rows, built.module.feature_dim if built.name != "teacher" else None)
    if isinstance(answer, tuple) and not (len(answer) == 2 and isinstance(answer[1], Mapping)):
        raise _wrong(built, answer, "features, or (features, named maps)")


def _embeddings(built: Built, values: Mapping[str, Any], answer: Any) -> None:
    rows = len(values["features"]) if "features" in values else None
    _matrix(built, answer, rows, built.module.embedding_dim)


def _matrix(built: Built, answer: Any, rows: int | None, width: int | None) -> None:
    """A row an image, as wide as the component says it is."""
    if (
        not isinstance(answer, Tensor)
        or not answer.is_floating_point()
        or answer.ndim != 2
        or (rows is not None and len(answer) != rows)
        or (width is not None and answer.shape[1] != width)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in (rows, width))
        raise _wrong(built, answer, f"a floating-point tensor of shape ({wanted})")


def _new_rows(built: Built, values: Mapping[str, Any], answer: Any) -> None:
    if answer is None:
        return
    if not isinstance(answer, NewRows):
        raise _wrong(built, answer, "dmlbench.api.NewRows(rows, source), or None")
    rows, source = answer.rows, answer.source
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        raise _wrong(built, rows, "NewRows with a floating-point tensor of rows")
    if not isinstance(source, Tensor) or source.dtype != torch.int64 or source.ndim != 1:
        raise _wrong(built, source, "NewRows with a one-dimensional int64 tensor of sources")
    if len(source) and int(source.min()) < 0:
        raise ContractError(
            f"{built.name}: source {int(source.min())} is negative", way_out="sources are positions of rows"
        )


def _images(built: Built, values: Mapping[str, Any], answer: Any) -> None:
    if isinstance(answer, NewRows) or answer is None:
        _new_rows(built, values, answer)
    elif not isinstance(answer, Tensor):
        raise _wrong(built, answer, "the changed images, dmlbench.api.NewRows(images, source), or None")
    elif answer.ndim != 4 or ("images" in values and len(answer) != len(values["images"])):
        raise _wrong(built, answer, "as many images as it was given, [rows channel height width]")


def _batch(built: Built, values: Mapping[str, Any], answer: Any) -> None:
    batch = answer if isinstance(answer, Batch) else Batch(answer)
    indices = batch.indices
    if not isinstance(indices, Tensor) or indices.dtype != torch.int64 or indices.ndim != 1:
        raise _wrong(built, indices, "a one-dimensional int64 tensor of indices")
    for role, column in batch.roles.items():
        if not isinstance(column, Tensor) or column.shape[:1] != indices.shape:
            raise _wrong(built, column, f"{role!r} with one value for each of {len(indices)} images")


_CHECKS: dict[str, Callable[[Built, Mapping[str, Any], Any], None]] = {
    "draw": _batch,
    "backbone": _features,
    "head": _embeddings,
    "augment": _new_rows,
    "augment_images": _images,
}


def check_mined(built: Built, scope: Scope, chosen: Any) -> None:
    """Raise `ContractError` unless `chosen` is what the miner says it yields, within the rows."""
    yields = built.entry.plugin.yields
    rows = len(scope["source"])
    if yields == "weights":
        if not isinstance(chosen, Tensor) or chosen.shape != (rows,):
            raise _wrong(built, chosen, f"weights of shape ({rows},)")
        return
    kind = Pairs if yields == "pairs" else Triplets
    if not isinstance(chosen, kind):
        raise _wrong(built, chosen, f"dmlbench.api.{kind.__name__}")
    for positions in [chosen.positive, chosen.negative] if isinstance(chosen, Pairs) else [chosen.indices]:
        _check_positions(built, positions, 2 if isinstance(chosen, Pairs) else 3, scope)


def _check_positions(built: Built, positions: Int[Tensor, "sides n"], sides: int, scope: Scope) -> None:
    if not isinstance(positions, Tensor) or positions.dtype != torch.int64 or positions.ndim != 2:
        raise _wrong(built, positions, f"int64 positions of shape ({sides}, n)")
    if len(positions) != sides:
        raise _wrong(built, positions, f"int64 positions of shape ({sides}, n)")
    if not positions.numel():
        return
    for what, side, count in (
        ("anchor", positions[0], len(scope["anchors"])),
        ("ref", positions[1:], len(scope["refs"])),
    ):
        least, most = int(side.min()), int(side.max())
        if least < 0 or most >= count:
            raise ContractError(
                f"{built.name} chose {what} {least if least < 0 else most}, of {count}",
                way_out=f"positions of {what}s are 0 to {count - 1}",
            )


def checked_dropped(built: Built, answer: Any, images: int) -> Bool[Tensor, " num_samples"]:
    """`answer`, if it says of each training image whether the component leaves it out."""
    if not isinstance(answer, Tensor) or answer.dtype != torch.bool or answer.shape != (images,):
        raise _wrong(built, answer, f"a bool tensor of shape ({images},): one value a training image")
    return answer


def check_roles(recipe: Recipe, batch: Batch) -> None:
    """Raise `ContractError` when a role that some term takes for its refs does not say yes or no."""
    for name in dict.fromkeys(sight.refs for sight in recipe.sights.values()):
        column = batch.roles.get(name)
        if column is not None and (column.dtype != torch.bool or column.ndim != 1):
            wanted = f"{name!r} as a one-dimensional bool tensor: it says which rows are refs"
            raise _wrong(recipe.sampler, column, wanted)


def describe(answer: Any) -> str:
    """`a tensor of torch.int64 of shape (3,)`, or the type's name."""
    if isinstance(answer, Tensor):
        return f"a tensor of {str(answer.dtype).removeprefix('torch.')} of shape {tuple(answer.shape)}"
    return "None" if answer is None else f"a {type(answer).__name__}"


def _wrong(built: Built, answer: Any, wanted: str) -> ContractError:
    return ContractError(f"{built.name} returned {describe(answer)}", way_out=wanted)


def _by_name(built: Built, moment: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments under core's names."""
    return {name: values[argument] for argument, name in built.requests[moment].arguments}
