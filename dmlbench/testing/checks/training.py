"""It trains: a few steps of the real loop in a fresh process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import LOSSES, TRAINED, promise

if TYPE_CHECKING:
    import torch

    from dmlbench.testing.subject import Subject
    from dmlbench.train.loop import Trainer


@promise(
    "train/runs",
    {*TRAINED, "method"},
    "What works in a call by hand can still fail in the loop, with images, events and an optimiser.",
    after=(
        "build",
        "values/finite",
        "miner/form",
        "augmenter/form",
        "augmenter/source",
        "augmenter/gradient",
        "network/width",
        "network/rows",
        "network/finite",
        "sampler/batch",
        "conduct/inputs",
    ),
)
def runs(subject: Subject) -> None:
    whole = subject.twin.whole
    if whole.error and whole.stage != "save":
        raise CheckFailed(f"at step {len(whole.logs)}: {whole.error}")


@promise(
    "train/same-bits",
    {*TRAINED, "method"},
    "A run that cannot be repeated cannot be compared: equal seeds give equal bits.",
    after=("train/runs",),
)
def same_bits(subject: Subject) -> None:
    one, other = subject.twin.whole, subject.twin.again
    if other.error:
        raise CheckFailed(f"the second time: {other.error}")
    for step, values in one.logs.items():
        if values != other.logs[step]:
            raise CheckFailed(
                f"two runs from one seed differ at step {step}: {_first_difference(values, other.logs[step])}"
            )
    if one.final and (moved := [name for name in one.final if one.final[name] != other.final.get(name)]):
        raise CheckFailed(f"two runs from one seed end with different {', '.join(moved[:3])}")


@promise(
    "train/bf16",
    {*LOSSES, "combiner", "listener", "augmenter"},
    "Trunk and heads run in bf16 autocast where the processor has it: maps and rounding differ from fp32.",
    after=("train/runs", "values/bf16-rows"),
)
def bf16(subject: Subject) -> None:
    trainer = subject.trainer(subject.spec(numerics="cpu-bf16"))
    for _ in range(2):
        trainer.step()


@promise(
    "train/parameters",
    TRAINED,
    "A parameter that no objective ever reaches stays as it was drawn, and looks as if it had been learnt.",
    after=("train/runs",),
)
def parameters(subject: Subject) -> None:
    trainer = subject.trainer()
    module = trainer.recipe.built[subject.slot].module
    if module is None:
        raise NotApplicable("a function has no parameters")
    if hidden := sorted(_hidden(module)):
        raise CheckFailed(f"parameters in a plain list or dict, which no optimiser sees: {', '.join(hidden)}")
    own = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not own:
        raise NotApplicable("has no trainable parameters")
    stepped = _stepped(trainer, subject.scale.steps)
    if still := [name for name, p in own.items() if id(p) not in stepped]:
        steps = subject.scale.steps
        raise CheckFailed(f"no objective gave a gradient in {steps} steps to: {', '.join(still)}")


def _stepped(trainer: Trainer, steps: int) -> set[int]:
    """The parameters (by identity) that had a gradient when their optimiser stepped."""
    seen: set[int] = set()

    def note(optimiser: torch.optim.Optimizer, *_: object) -> None:
        for group in optimiser.param_groups:
            seen.update(id(p) for p in group["params"] if p.grad is not None)

    for optimiser in trainer.optimisation.optimisers.values():
        optimiser.register_step_pre_hook(note)
    while trainer.step_number < steps:
        trainer.step()
    return seen


def _hidden(module: torch.nn.Module) -> set[str]:
    """Attributes that keep parameters or modules where `parameters()` does not look."""
    from torch import nn

    known = {id(p) for p in module.parameters()}
    found = set()
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name.startswith("_") and name in vars(nn.Module()):
                continue
            for inner in _inside(value):
                parameters = inner.parameters() if isinstance(inner, nn.Module) else [inner]
                if any(id(p) not in known and p.requires_grad for p in parameters):
                    found.add(f"{path}.{name}".lstrip("."))
    return found


def _inside(value: object) -> list[torch.nn.Module | torch.nn.Parameter]:
    from torch import nn

    if isinstance(value, nn.Module | nn.Parameter):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [inner for part in value for inner in _inside(part)]
    return []


def _first_difference(one: dict[str, float], other: dict[str, float]) -> str:
    name = next(name for name in one if one[name] != other.get(name))
    return f"{name} is {one[name]!r} and {other.get(name)!r}"
