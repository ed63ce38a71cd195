"""A run: method x protocol x task x track x seed, resolved; and the key that stands for its result."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import Field

from dmlbench.spec.method import Method
from dmlbench.spec.model import ADDED, Digest, Spec, digest
from dmlbench.spec.noise import Noise
from dmlbench.spec.protocol import ProfileName, Protocol
from dmlbench.spec.task import Task
from dmlbench.spec.track import Track

TRAIN_VERSION = 1
"""Raised whenever training gives other numbers than before; a golden run in the tests notices."""


class RunSpec(Spec):
    """All that decides a run's numbers, and nothing else."""

    name: str
    """The method's full id, e.g. `dmlbench:das` or `dmlbench:das@1a2b3c4d`."""
    method: Method
    protocol: Protocol
    task: Task
    track: Track
    profile: ProfileName
    seed: int = Field(ge=0)
    numerics: str
    torch: str
    """Major and minor version."""
    sources: dict[str, Digest]
    """Source digest of each component of the recipe, by its name there."""
    train_version: int = TRAIN_VERSION
    noise: Noise | None = Field(default=None, json_schema_extra=ADDED)
    """The wrong labels that training and validation get."""
    teacher: str | None = Field(default=None, json_schema_extra=ADDED)
    """The key of the run that the protocol's teacher is, unless the recipe names another."""
    plain: str | None = Field(default=None, json_schema_extra=ADDED)
    """The key of the plain student's run, which this one is held against."""

    @property
    def task_id(self) -> str:
        """What tables call the task: with noise it is another one."""
        return f"{self.task.id}-{self.noise.id}" if self.noise else self.task.id

    @property
    def budget(self) -> int:
        """Images seen that this run may use."""
        return self.track.budget[self.profile] if self.method.trains else 0

    @property
    def told_apart(self) -> bool:
        """Whether training is told something else of the items than the data set says, or less."""
        rules = self.protocol
        return self.noise is not None or bool(rules.shots or rules.pseudo_labels or rules.classes)

    @property
    def tunes(self) -> bool:
        """Whether the method trains once more for each few images of novel classes."""
        return self.protocol.shots is not None and self.method.trains_on_novel

    @property
    def on_track(self) -> bool:
        """Whether only what a method may choose differs from the track."""
        return self.method.backbone is None and not self.method.heads

    @property
    def key(self) -> str:
        """32 hex digits: equal exactly when the results must be."""
        return digest(self).removeprefix("sha256:")[:32]

    def digests(self) -> dict[str, str]:
        """The digests that a record carries."""
        task = [self.task, self.noise] if self.noise else self.task
        parts = {"protocol": self.protocol, "task": task, "track": self.track, "method": self.method}
        return {name: digest(part) for name, part in parts.items()}

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="python"), default=_number, sort_keys=True, indent=1)

    @classmethod
    def from_file(cls, path: Path) -> RunSpec:
        return cls.model_validate(json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))


def _number(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} in a run spec")
