"""Calling a component as core does, without what core makes of its answer: that is for a check to judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmlbench.train.component import Built
from dmlbench.train.randomness import derive, generator, reseed_globals
from dmlbench.train.scope import Lazy, Scope


def call_plainly(
    built: Built,
    moment: str,
    scope: Scope,
    *,
    seed: int = 0,
    step: int = 0,
    function: Callable[..., Any] | None = None,
) -> Any:
    """The component's own answer, with every generator at a known place."""
    owner = f"{built.name}.{moment}"
    asked = scope.child(generator=Lazy(lambda: generator(seed, "component", owner, step)))
    values = built.requests[moment].values(asked)  # miners are called here, before the generators are placed
    reseed_globals(derive(seed, "global-component", owner, step))
    return (function or built.object)(**values)
