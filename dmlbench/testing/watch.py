"""Looking over a component's shoulder in the real loop: what changes while it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dmlbench.train.component import Built
from dmlbench.train.loop import Trainer

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

Look = Callable[[str, Mapping[str, Any]], Callable[[], None]]
"""Called before the component acts, with the moment and what it asked for; its answer is called after."""


def rehearse_watched(subject: Subject, look: Look, trainer: Trainer | None = None) -> Exception | None:
    """Train the usual few steps with `look` at every call of the subject; what stopped it, if it did not end.

    Core refuses some of what a look may find, so a look is told before core's error is.
    """
    trainer = trainer or subject.trainer()
    _watch(trainer.recipe.built[subject.slot], look)
    try:
        while trainer.step_number < subject.scale.steps:
            trainer.step()
    except Exception as error:  # the component's own, whatever it is
        return error
    return None


def _watch(built: Built, look: Look) -> None:
    plain = built.call

    def call(moment: str, scope: Any, function: Any = None) -> Any:
        after = look(moment, built.requests[moment].values(scope))
        try:
            answer = plain(moment, scope, function)
        finally:
            after()
        return _watched(answer, moment, look) if isinstance(answer, Iterator) else answer

    built.call = call  # type: ignore[method-assign]


def _watched(answers: Iterator[Any], moment: str, look: Look) -> Iterator[Any]:
    """An event that yields acts between its yields; core steps what it yielded in between."""
    while True:
        after = look(moment, {})
        try:
            answer = next(answers)
        except StopIteration:
            return
        finally:
            after()
        yield answer


def tensors_in(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of what a name stands for, by dotted names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from tensors_in(f"{name}[{key!r}]", part)
    elif hasattr(value, "__dataclass_fields__"):
        for key in value.__dataclass_fields__:
            yield from tensors_in(f"{name}.{key}", getattr(value, key))


def same(one: Tensor, other: Tensor) -> bool:
    """Equal bits of one shape; NaN equals itself."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = one.detach(), other.detach()
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())
