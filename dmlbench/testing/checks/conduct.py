"""It touches nothing that is not its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import NETWORKS, TRAINED, promise
from dmlbench.testing.watch import rehearse_watched, same, tensors_in

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dmlbench.testing.subject import Subject

_OF_OTHERS = ("parameters",)
"""Core changes them between the yields of an event; `conduct/networks` looks at them."""


@promise(
    "conduct/inputs",
    TRAINED,
    "All terms of a step share labels, embeddings and masks: what one changes, the next computes with.",
    after=("build", "values/finite", "miner/form", "augmenter/form", "network/width", "sampler/batch"),
)
def inputs(subject: Subject) -> None:
    changed: dict[str, str] = {}

    def look(moment: str, asked: Mapping[str, Any]) -> Callable[[], None]:
        tensors = [
            pair
            for name, value in asked.items()
            if name not in _OF_OTHERS
            for pair in tensors_in(name, value)
        ]
        before = [(name, tensor, tensor.detach().clone(), tensor._version) for name, tensor in tensors]

        def after() -> None:
            for name, tensor, was, version in before:
                if tensor._version != version or not same(tensor, was):
                    changed.setdefault(moment, name)

        return after

    stopped = rehearse_watched(subject, look)
    if changed:
        moment, name = next(iter(changed.items()))
        raise CheckFailed(f"{moment} changes {name} in place")
    if stopped is not None:
        raise NotApplicable("training fails: see train/runs")


@promise(
    "conduct/networks",
    TRAINED - NETWORKS,
    "Core alone differentiates and steps: a network moved by another's objective voids every comparison.",
    after=("train/runs",),
)
def networks(subject: Subject) -> None:
    touched: list[str] = []
    others: dict[str, nn.Parameter] = {}

    def look(moment: str, asked: Mapping[str, Any]) -> Callable[[], None]:
        values = {name: p.detach().clone() for name, p in others.items()}
        gradients = {name: _copy(p.grad) for name, p in others.items()}

        def after() -> None:
            for name, parameter in others.items():
                if not same(parameter, values[name]):
                    touched.append(f"{moment} changes {name}")
                elif _moved(gradients[name], parameter.grad):
                    touched.append(f"{moment} leaves a gradient on {name}")

        return after

    trainer = subject.trainer()
    own = trainer.recipe.built[subject.slot].module
    mine = {id(p) for p in own.parameters()} if own is not None else set()
    for owner, module in trainer.recipe.modules.items():
        for name, parameter in module.named_parameters():
            if id(parameter) not in mine:
                others[f"{owner}.{name}"] = parameter
    stopped = rehearse_watched(subject, look, trainer)
    if touched:
        raise CheckFailed(touched[0])
    if stopped is not None:
        raise stopped


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.detach().clone()


def _moved(before: Tensor | None, after: Tensor | None) -> bool:
    if before is None or after is None:
        return before is not after
    return not same(before, after)
