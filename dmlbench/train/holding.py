"""Holding still: a held objective or trunk changes nothing, its BatchNorm statistics included."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from dmlbench.errors import ContractError
from dmlbench.train.optimisation import Optimisation
from dmlbench.train.recipe import Recipe

BACKBONE = "backbone"


class Holding:
    """Who is held in this step: objectives by name, or `backbone`."""

    def __init__(self, recipe: Recipe, optimisation: Optimisation) -> None:
        self._recipe = recipe
        self._optimisation = optimisation
        self.names: frozenset[str] = frozenset()

    def hold(self, names: Iterable[str]) -> None:
        """Hold `names` and nothing else. Raises `ContractError` for a name that nothing has."""
        known = self._optimisation.objectives | {BACKBONE}
        self.names = frozenset(names)
        if unknown := self.names - known:
            raise ContractError(
                f"hold names {sorted(unknown)}", way_out=f"it can name: {', '.join(sorted(known))}"
            )
        self.set_modes()

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that must not move."""
        held = [p for name in self.names for p in self._optimisation.parameters(name)]
        return held + (list(self._recipe.model.backbone.parameters()) if BACKBONE in self.names else [])

    def set_modes(self) -> None:
        """Training mode, except for modules all of whose parameters are held."""
        held = {id(parameter) for parameter in self.parameters()}
        for module in self._recipe.modules.values():
            module.train()
            if held:
                _rest(module, held)


def _rest(module: nn.Module, held: set[int]) -> None:
    for part in module.modules():
        parameters = [id(parameter) for parameter in part.parameters()]
        if parameters and held.issuperset(parameters):
            part.eval()
