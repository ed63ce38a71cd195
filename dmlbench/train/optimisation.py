"""Objectives and their optimisers. Core alone differentiates and steps.

Each trainable parameter belongs to exactly one group, each group to one objective. An objective's loss is
differentiated with respect to that objective's parameters only, so no loss can touch another's network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dmlbench.errors import ContractError, nearest
from dmlbench.spec.track import Optimiser
from dmlbench.train.values import ParamGroup

MAIN = "main"
_OPTIMISERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
_FUSED = {"adam", "adamw", "sgd"}
SCHEDULES = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))),
}


class Optimisation:
    """All groups of a run, by objective. `held` parameters are left wholly alone: no momentum, no decay."""

    def __init__(self, modules: Mapping[str, nn.Module], track: Optimiser) -> None:
        self._track = track
        self._owner: dict[nn.Parameter, str] = {}
        self.objective_of: dict[nn.Parameter, str] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        groups: dict[str, list[dict[str, Any]]] = {}
        kinds: dict[str, tuple[str, dict[str, Any]]] = {}
        for name, module in modules.items():
            for group in self._groups_of(name, module):
                kind = group.optimiser or track.name
                options = dict(group.options)
                key = f"{group.objective}/{kind}" + "".join(f"/{k}={v}" for k, v in sorted(options.items()))
                kinds[key] = (kind, options)
                groups.setdefault(key, []).append(self._torch_group(name, group))
        for key, (kind, options) in kinds.items():
            fused = {"fused": True} if kind in _FUSED else {}
            self.optimisers[key] = _OPTIMISERS[kind](groups[key], **options, **fused)

    @property
    def objectives(self) -> set[str]:
        return {MAIN, *self.objective_of.values()}

    def parameters(self, objective: str) -> list[nn.Parameter]:
        """The parameters that `objective` steps."""
        return [p for p, name in self.objective_of.items() if name == objective]

    def step(
        self, objective: str, loss: Tensor, progress: float, owner: str, held: Iterable[nn.Parameter] = ()
    ) -> None:
        """Differentiate `loss` for the parameters of `objective` that are not `held`, clip, and step them."""
        if objective not in self.objectives:
            raise ContractError(
                f"{owner} yielded a loss for {objective!r}, an objective that no parameter group names",
                near=nearest(objective, self.objectives),
            )
        left_alone = {id(p) for p in held}
        parameters = [p for p in self.parameters(objective) if id(p) not in left_alone]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for key, optimiser in self.optimisers.items():
            if key.split("/")[0] != objective:
                continue
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * SCHEDULES[group["schedule"]](progress)
                if group["clip_norm"] is not None:
                    _clip(group["params"], group["clip_norm"])
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {key: optimiser.state_dict() for key, optimiser in self.optimisers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for key, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state[key])

    def _groups_of(self, name: str, module: nn.Module) -> list[ParamGroup]:
        groups = module.param_groups() if hasattr(module, "param_groups") else []
        # Flattened once: `parameters` may be an iterator.
        declared = [replace(group, parameters=_flat(group.parameters)) for group in groups]
        for group in declared:
            for parameter in group.parameters:
                self._claim(parameter, name, group.objective)
        rest = [p for p in module.parameters() if p.requires_grad and p not in self._owner]
        for parameter in rest:
            self._claim(parameter, name, MAIN)
        return declared + ([ParamGroup(rest)] if rest else [])

    def _claim(self, parameter: nn.Parameter, owner: str, objective: str) -> None:
        if parameter in self._owner:
            raise ContractError(f"one parameter is claimed by {self._owner[parameter]} and by {owner}")
        self._owner[parameter] = owner
        self.objective_of[parameter] = objective

    def _torch_group(self, name: str, group: ParamGroup) -> dict[str, Any]:
        parameters = list(group.parameters)
        if not parameters:
            raise ContractError(f"{name} declares a parameter group without parameters")
        rate = float(self._track.rate) * group.rate_factor if group.rate is None else group.rate
        decay = float(self._track.weight_decay) if group.weight_decay is None else group.weight_decay
        return {
            "params": parameters,
            "lr": rate,
            "rate": rate,
            "weight_decay": decay,
            "clip_norm": group.clip_norm,
            "schedule": group.schedule or self._track.schedule,
        }


def _clip(parameters: list[nn.Parameter], largest: float) -> None:
    """Scale the gradients together to an L2 norm of at most `largest`.

    Out of place: some gradients are expanded views.
    """
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in moved])
    if norm > largest:
        for parameter in moved:
            parameter.grad = parameter.grad * (largest / norm)


def _flat(parameters: Iterable[nn.Parameter | nn.Module]) -> list[nn.Parameter]:
    """Modules opened into their parameters."""
    return [
        p
        for item in parameters
        for p in (item.parameters() if isinstance(item, nn.Module) else [item])
        if p.requires_grad
    ]
