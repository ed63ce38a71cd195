"""The files of one run, `runs/<run_key>/`. Each stage reads some and writes others, each atomically."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TEACHER = "teacher"
"""Whose embeddings stand beside those of the selected and the last weights, where students have a teacher."""


@dataclass(frozen=True)
class RunDirectory:
    """`scored` is `validation` or `test`, `which` is `selected`, `last`, or `teacher`."""

    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def labels(self) -> Path:
        """The folder of what training and validation are told of the items, where that is not what the data
        set says: with label noise wrong classes, with few images those alone that may be learnt from, with
        hidden labels clusters, with finer classes below no column that the protocol does not show."""
        return self.root / "labels"

    @property
    def held(self) -> Path:
        """Rows of the base classes' scored images, where novel classes are added to them: bare numbers."""
        return self.labels / "held.json"

    @property
    def noise_list(self) -> Path:
        """The published list that the wrong labels come from, where they do."""
        return self.root / "noise.csv"

    def shown(self, scored: str) -> Path:
        """The few images of novel classes, where a method trains on them: places and numbers of classes."""
        return self.root / f"shown.{scored}.json"

    def tuned(self, scored: str, number: int, draw: int) -> Path:
        """What a method makes of a side that trained on so many images of each of its classes."""
        return self.root / f"tuned.{scored}.{number}.{draw}.safetensors"

    def tuning(self, scored: str) -> Path:
        """Marks that training on novel classes is complete, and what it took."""
        return self.root / f"tuned.{scored}.json"

    @property
    def dropped(self) -> Path:
        """Which training images the method leaves out at the end; not there when it leaves out none ever."""
        return self.root / "dropped.safetensors"

    def found(self, which: str) -> Path:
        """The labels of the training images at that checkpoint, where the method splits classes."""
        return self.root / f"found.{which}.safetensors"

    @property
    def clusterings(self) -> Path:
        """Each clustering that labels were made of, for the scorer; only where core makes labels so."""
        return self.root / "clusterings.safetensors"

    @property
    def components(self) -> Path:
        """The recipe as built: all settings, defaults written out."""
        return self.root / "components.json"

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted training continues."""
        return self.root / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """Losses and validation scores as training went."""
        return self.root / "log.json"

    @property
    def output(self) -> Path:
        """What the stages printed, and the traceback of what went wrong; not there when they were quiet."""
        return self.root / "output.log"

    @property
    def trained(self) -> Path:
        """Marks that training is complete, and what it took."""
        return self.root / "trained.json"

    def weights(self, which: str) -> Path:
        return self.root / f"{which}.safetensors"

    def embeddings(self, scored: str, which: str) -> Path:
        """`scored` may be `train` here, where scores rest on the training images too."""
        return self.root / f"embeddings.{scored}.{which}.safetensors"

    def embedded(self, scored: str) -> Path:
        """Marks that embedding is complete, and what it took."""
        return self.root / f"embedded.{scored}.json"

    def scores(self, scored: str) -> Path:
        return self.root / f"scores.{scored}.json"

    def classes(self, scored: str) -> Path:
        return self.root / f"classes.{scored}.json.gz"

    def roc(self, scored: str) -> Path:
        """The ROC curve as a picture, where pairs are scored."""
        return self.root / f"roc.{scored}.svg"

    def record(self, scored: str) -> Path:
        return self.root / f"record.{scored}.json"
