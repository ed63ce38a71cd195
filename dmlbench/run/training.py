"""The stage `train`: training with validation scores, checkpoints and exact resumption."""

from __future__ import annotations

import io
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dmlbench.data.store import Prepared
from dmlbench.errors import ContractError
from dmlbench.files import replacing, write_json
from dmlbench.run.assemble import (
    build_recipe,
    build_trainer,
    embedded_images,
    opened,
    scored_with,
    shown_columns,
    used_components,
)
from dmlbench.run.clusters import save_clusterings
from dmlbench.run.directory import RunDirectory
from dmlbench.run.known import Known
from dmlbench.run.measuring import measured
from dmlbench.run.shot_scores import Base
from dmlbench.run.teaching import left_open, state_digest
from dmlbench.score.shots import class_rows
from dmlbench.spec.run import RunSpec
from dmlbench.train.embedding import embed_rows
from dmlbench.train.loop import Trainer
from dmlbench.train.pseudo_labels import PseudoLabels
from dmlbench.train.recipe import Recipe

Report = Callable[[dict[str, Any]], None]
SELECTED, LAST = "selected", "last"
_REPORT_EVERY = 0.25
"""Seconds between two reports of progress."""


def train(directory: RunDirectory, folder: Path, report: Report) -> None:
    """Train the run in `directory` on the prepared data in `folder`, from its checkpoint if there is one.

    Leaves weights of the selected and the last checkpoint, the log, and `trained.json`.
    """
    spec = RunSpec.from_file(directory.spec)
    data = opened(spec, directory, folder)
    recipe = build_recipe(spec, data.train, directory.root.parent)
    filled_in = spec.teacher if left_open(spec.method) else None
    write_json(directory.components, used_components(recipe, filled_in))
    run = _Training(spec, directory, data, recipe)
    if spec.method.trains:
        run.resume()
        run.go(report)
    else:
        run.validate({})
    run.finish()


class _Training:
    """A training run and its history: `log` has one entry a validation score."""

    def __init__(self, spec: RunSpec, directory: RunDirectory, data: Prepared, recipe: Recipe) -> None:
        self.spec = spec
        self.directory = directory
        self.data = data
        self.recipe = recipe
        self.trainer: Trainer | None = build_trainer(spec, recipe, data) if spec.method.trains else None
        self.teacher = state_digest(recipe.teacher)
        self.log: list[dict[str, Any]] = []
        self.mark = 0
        self.seconds = 0.0

    def go(self, report: Report) -> None:
        """Steps until the budget is used; a validation score and a checkpoint at each mark."""
        trainer, marks = self.trainer, self.spec.protocol.validations
        assert trainer is not None
        started, reported = time.perf_counter(), 0.0
        sums: dict[str, float] = {}
        steps = 0
        while not trainer.done:
            values = trainer.step()
            steps += 1
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            now = time.perf_counter()
            if now - reported > _REPORT_EVERY:
                reported = now
                report(self._progress(values.get("loss")))
            due = marks if trainer.done else trainer.images_seen * marks // trainer.budget
            if due > self.mark:
                self.mark = due
                self.seconds += time.perf_counter() - started
                self.validate({name: total / steps for name, total in sums.items()})
                self._checkpoint()
                report(self._progress(values.get("loss")))
                sums, steps, started = {}, 0, time.perf_counter()

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one."""
        if self.trainer is None or not self.directory.checkpoint.exists():
            return
        state = torch.load(self.directory.checkpoint, weights_only=True, map_location="cpu")
        self.trainer.load_state_dict(state["trainer"])
        self.log, self.mark, self.seconds = state["log"], state["mark"], state["seconds"]

    def finish(self) -> None:
        """Write the last weights and say what training took. `ContractError` for a teacher that learnt."""
        if state_digest(self.recipe.teacher) != self.teacher:
            raise ContractError(
                "the teacher has changed in training: its weights, or statistics of its BatchNorm",
                way_out="a teacher in evaluation mode, whose buffers nobody writes to",
            )
        self._save_weights(LAST)
        trainer = self.trainer
        if trainer and isinstance(trainer.labels, PseudoLabels):
            save_clusterings(trainer.labels, self.directory)
        dropped = trainer.dropped() if trainer else None
        if dropped is not None:
            with replacing(self.directory.dropped) as temporary:
                save_file({"dropped": dropped}, temporary)
        write_json(
            self.directory.trained,
            {
                "images_seen": trainer.images_seen if trainer else 0,
                "extra_forwards": trainer.extra_forwards if trainer else 0,
                "selected_images": self._best()["images"],
                "validation": [[e["images"], e["validation"]] for e in self.log if "validation" in e],
                "seconds": self.seconds,
                "steps": trainer.step_number if trainer else 0,
                "mined": trainer.mined if trainer else {},
                "peak_memory_mib": peak_memory_mib(),
                "inference_parameters": sum(p.numel() for p in self.recipe.model.parameters()),
            },
        )
        self.directory.checkpoint.unlink(missing_ok=True)

    def validate(self, losses: dict[str, float]) -> None:
        """Score the validation classes, log it, and keep the weights when they are the ones to select.

        Where labels are hidden there is nothing to score, and the last weights are selected.
        """
        images = self.trainer.images_seen if self.trainer else 0
        self.log.append({"images": images, "losses": losses})
        if self.spec.protocol.pseudo_labels is None:
            self.log[-1]["validation"] = self._validation_score()
        if self._best() is self.log[-1]:
            self._save_weights(SELECTED)
        write_json(self.directory.log, self.log)

    def _validation_score(self) -> float:
        part = self.data.validation
        columns = shown_columns(self.spec, part)
        embeddings = embed_rows(self.recipe, self.data.images, part.rows, columns, self.spec.track.images)
        protocol = self.spec.protocol
        known = self._base() if protocol.shots else self._training_images()
        scores = measured(self.spec, "validation", part, embeddings, [protocol.primary], known)
        return scores.metrics[protocol.primary]

    def _training_images(self) -> Known | None:
        """The training images as they are embedded now, where scores rest on them."""
        if not self.spec.protocol.against_training:
            return None
        rows, columns = embedded_images(self.spec, self.data, "train")
        return Known(
            self.data.train,
            embed_rows(self.recipe, self.data.images, rows, columns, self.spec.track.images),
        )

    def _base(self) -> Base:
        """The base classes, to which validation classes are added."""
        train, rows = self.data.train, self.recipe.class_rows()
        if rows is not None:
            return Base(train.classes, rows, learnt=True)
        columns = shown_columns(self.spec, train)
        images = embed_rows(self.recipe, self.data.images, train.rows, columns, self.spec.track.images)
        return Base(train.classes, class_rows(images, train.labels), learnt=False)

    def _best(self) -> dict[str, Any]:
        """The log's entry that is selected; on equal scores the earliest."""
        if self.spec.protocol.selection == "last":
            return self.log[-1]
        return max(self.log, key=lambda entry: entry["validation"])

    def _save_weights(self, which: str) -> None:
        state = dict(self.recipe.model.state_dict())
        for name, part in scored_with(self.spec, self.recipe).items():
            state |= {f"{name}.{k}": v for k, v in part.state_dict().items()}
        if self.trainer is not None and self.recipe.splits_classes:
            with replacing(self.directory.found(which)) as temporary:
                save_file({"labels": self.trainer.labels.now}, temporary)
        with replacing(self.directory.weights(which)) as temporary:
            save_file({name: value.contiguous() for name, value in state.items()}, temporary)

    def _checkpoint(self) -> None:
        assert self.trainer is not None
        state = {
            "trainer": self.trainer.state_dict(),
            "log": self.log,
            "mark": self.mark,
            "seconds": self.seconds,
        }
        # Through memory: a full disk is then the system's error, in its own words, not the archive's.
        archive = io.BytesIO()
        torch.save(state, archive)
        with replacing(self.directory.checkpoint) as temporary:
            temporary.write_bytes(archive.getbuffer())

    def _progress(self, loss: float | None) -> dict[str, Any]:
        assert self.trainer is not None
        validation = max((e["validation"] for e in self.log if "validation" in e), default=None)
        return {"images": self.trainer.images_seen, "loss": loss, "validation": validation}


def peak_memory_mib() -> int:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)
