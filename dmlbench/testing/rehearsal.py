"""A few steps of a real run; the answer says how it went, digest by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dmlbench.data.store import Prepared
from dmlbench.registry.report import Entry
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.spec.run import RunSpec
from dmlbench.testing.case import said
from dmlbench.testing.furniture import offering
from dmlbench.train.loop import Trainer

Digests = dict[str, str]


@dataclass
class Outcome:
    """How far a rehearsal came. `logs` has each step's values, by step; the rest are digests by name."""

    stage: str = "start"
    error: str = ""
    logs: dict[int, dict[str, float]] = field(default_factory=dict)
    saved: dict[int, Digests] = field(default_factory=dict)
    """State of the components at each cut, as it went into the checkpoint."""
    loaded: Digests = field(default_factory=dict)
    """State of the components after loading, before the next step."""
    final: Digests = field(default_factory=dict)


def checkpoint(folder: Path, cut: int) -> Path:
    return folder / f"after-{cut}.pt"


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed: `folder/spec.json` on the prepared data in `store`, for `steps` steps."""

    folder: Path
    store: Path
    entries: tuple[Entry, ...]
    steps: int

    def run(self, cut: int = 0, saves: Sequence[int] = ()) -> Outcome:
        """Train from the checkpoint after `cut`, or from the start; checkpoints are left after `saves`."""
        outcome = Outcome()
        try:
            with offering(self.entries):
                _go(self, cut, saves, outcome)
            outcome.stage = "end"
        except Exception as error:  # the component's own, or what core says of it
            outcome.error = said(error)
        return outcome

    @property
    def spec(self) -> RunSpec:
        return RunSpec.from_file(self.folder / "spec.json")


def _go(rehearsal: Rehearsal, cut: int, saves: Sequence[int], outcome: Outcome) -> None:
    spec, folder, steps = rehearsal.spec, rehearsal.folder, rehearsal.steps
    data = Prepared.open(rehearsal.store)
    trainer = build_trainer(spec, build_recipe(spec, data.train), data)
    if cut:
        outcome.stage = "load"
        trainer.load_state_dict(torch.load(checkpoint(folder, cut), weights_only=True))
        outcome.loaded = _state(trainer)
    while trainer.step_number < steps:
        outcome.stage = "train"
        step = trainer.step_number
        outcome.logs[step] = trainer.step()
        if trainer.step_number in saves:
            outcome.stage = "save"
            torch.save(trainer.state_dict(), checkpoint(folder, trainer.step_number))
            outcome.saved[trainer.step_number] = _state(trainer)
    outcome.stage = "final"
    outcome.final = _state(trainer)


def _state(trainer: Trainer) -> Digests:
    state = {name: module.state_dict() for name, module in trainer.recipe.modules.items()}
    return dict(_digests("", state))


def _digests(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A digest of every leaf of a nested state, by its dotted name."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _digests(f"{name}.{key}".lstrip("."), part)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _digests(f"{name}[{place}]", part)
    elif isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous().reshape(-1)
        data = plain.view(torch.uint8).numpy().tobytes() if len(plain) else b""
        form = f"{value.dtype} {tuple(value.shape)}".encode()
        yield name, hashlib.blake2b(form + data, digest_size=12).hexdigest()
    else:
        yield name, repr(value)
