"""Calling components: what each sees, what its miner chose, and randomness that is its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dmlbench.train.answers import check_mined
from dmlbench.train.calling import judging
from dmlbench.train.component import Built
from dmlbench.train.memory import Memory
from dmlbench.train.randomness import derive, generator, reseed_globals
from dmlbench.train.recipe import Recipe
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Lazy, Scope
from dmlbench.train.sight import Sight, scope_of


class Calls:
    """The calls of one run; `begin` starts a step."""

    def __init__(self, recipe: Recipe, seed: int, memories: Mapping[str, Memory]) -> None:
        self._recipe = recipe
        self._seed = seed
        self._memories = memories
        self._step = 0
        self._mined: dict[Any, Any] = {}
        self.mined: dict[str, int] = {}
        """How many pairs or triplets each miner chose in all steps so far."""

    def begin(self, step: int) -> None:
        """Forget what miners chose in the step before."""
        self._step = step
        self._mined = {}

    def call(
        self, built: Built, moment: str, scope: Scope, function: Any = None, stream: str = "component"
    ) -> Any:
        """Call with a generator of its own, the global ones at a known place.

        So a component that draws from a global generator resumes exactly too, and one more component in
        the recipe shifts nobody's numbers.
        """
        owner = f"{built.name}.{moment}"
        reseed_globals(derive(self._seed, f"global-{stream}", owner, self._step))
        own = scope.child(generator=Lazy(lambda: generator(self._seed, stream, owner, self._step)))
        return built.call(moment, own, function)

    def held_by(self, built: Built, scope: Scope) -> tuple[str, ...]:
        """What a component wants to hold still in this step."""
        with judging(built, "hold"):
            return tuple(self.event(built, "hold", scope) or ())

    def event(self, built: Built, event: str, scope: Scope) -> Any:
        """The component's answer to an event; None when it has no such method."""
        function = built.method(event)
        return None if function is None else self.call(built, event, scope, function)

    def seen_by(self, name: str, scope: Scope, rows: Rows) -> Scope:
        """`scope` plus the rows and pairs that the component `name` sees, and what its miner yields."""
        recipe = self._recipe
        sight = recipe.sights.get(name, Sight(head=recipe.main_head))
        memory = self._memories.get(name)
        seen = scope_of(scope, rows, sight, memory)
        miner = recipe.miner_of(name)
        if miner is not None:
            detached = scope_of(scope, rows.detach(), sight, memory)
            yields = recipe.miners[miner].entry.plugin.yields
            remembered = None if memory is None else (name, int(memory.pushed))
            key = (miner, sight, len(rows), remembered)
            seen.set(yields, Lazy(lambda: self._mine(miner, key, detached)))
        return seen

    def _mine(self, miner: str, key: Any, scope: Scope) -> Any:
        """One miner's choice for one view of the rows, made once a step and shared by all who use it."""
        if key not in self._mined:
            built = self._recipe.miners[miner]
            with torch.no_grad(), judging(built, "mine"):
                chosen = self.call(built, "mine", scope)
                check_mined(built, scope, chosen)
            self._mined[key] = chosen
            if not isinstance(chosen, torch.Tensor):
                self.mined[miner] = self.mined.get(miner, 0) + len(chosen)
        return self._mined[key]
