"""Holding still: a held objective, trunk or head changes nothing, its BatchNorm statistics included."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from dmlbench.errors import ContractError
from dmlbench.train.optimisation import Optimisation
from dmlbench.train.recipe import Recipe

BACKBONE = "backbone"


class Holding:
    """Who is held in this step: objectives, `backbone`, or heads by name."""

    def __init__(self, recipe: Recipe, optimisation: Optimisation) -> None:
        self._recipe = recipe
        self._optimisation = optimisation
        model = recipe.model
        self._networks: dict[str, nn.Module] = {BACKBONE: model.backbone, **dict(model.heads.items())}
        self.names: frozenset[str] = frozenset()

    def hold(self, names: Iterable[str]) -> None:
        """Hold `names` and nothing else. Raises `ContractError` for a name that nothing has."""
        known = self._optimisation.objectives | self._networks.keys()
        self.names = frozenset(names)
        if unknown := self.names - known:
            raise ContractError(f"hold names {sorted(unknown)}", way_out=f"it can name: {', '.join(sorted(known))}")
        self.set_modes()

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that must not move."""
        return [
            parameter
            for name in self.names
            for parameter in (
                self._networks[name].parameters()
                if name in self._networks
                else self._optimisation.parameters(name)
            )
        ]

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
