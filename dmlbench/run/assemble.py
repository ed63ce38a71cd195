"""From a run's spec and a prepared data set to the objects that train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from dmlbench.data.gallery import column_of, domains_of
from dmlbench.data.pairs import across_of
from dmlbench.data.split import Side
from dmlbench.data.store import DOMAIN, Part, Prepared, TestLabels
from dmlbench.errors import DataError, RunError
from dmlbench.registry.registry import digest_of
from dmlbench.run.clusters import pseudo_labels
from dmlbench.run.directory import RunDirectory
from dmlbench.run.teaching import taught
from dmlbench.spec.run import RunSpec
from dmlbench.train.images import TrainingImages
from dmlbench.train.loop import Trainer
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe


def opened(spec: RunSpec, directory: RunDirectory, folder: Path) -> Prepared:
    """The prepared data as the run's components may know it: true labels, or those of scored images, stay
    shut where others are told."""
    return Prepared.open(folder, directory.labels if spec.told_apart else None)


def shown_columns(spec: RunSpec, part: Part) -> dict[str, torch.Tensor]:
    """The data set's columns that the protocol lets components see, as integers: text is numbered.

    Of the column that says who asks, 0 is who asks and 1 who is asked. Raises `DataError` for a data set that
    lacks one.
    """
    for name in spec.protocol.columns:
        if name not in part.columns:
            raise DataError(
                f"the data set has no column {name!r}, which {spec.protocol.id} is about",
                place=f"task {spec.task.id}",
                way_out="a task whose data set has it",
            )
    return {name: _shown(spec, name, part.columns[name]) for name in spec.protocol.columns}


def embedded_images(
    spec: RunSpec, data: Prepared, side: Side
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The rows of the side's images, and what the protocol lets a backbone see of each beside its pixels.

    Of test images that is their domain at most.
    """
    if side != "test":
        part = data.validation if side == "validation" else data.train
        return part.rows, shown_columns(spec, part)
    shown = {DOMAIN} & {*spec.protocol.columns}
    return data.test_rows, {name: _shown(spec, name, data.test_domain) for name in shown}


def _shown(spec: RunSpec, name: str, column: Sequence[str | int]) -> torch.Tensor:
    gallery = spec.protocol.gallery
    if gallery is not None and gallery.column == name:
        return domains_of(gallery, column, f"task {spec.task.id}")
    return _numbers(column)


def _numbers(column: Sequence[str | int]) -> torch.Tensor:
    if any(isinstance(value, str) for value in column):
        names = {name: number for number, name in enumerate(sorted(set(map(str, column))))}
        column = [names[str(value)] for value in column]
    return torch.as_tensor(column, dtype=torch.int64)


def labels_of(spec: RunSpec, part: Part | TestLabels) -> torch.Tensor:
    """What the items are trained and scored by: Int[item], their classes, or where the protocol has several
    labels Bool[item label]. `DataError` when the data set has none."""
    if spec.protocol.labels == "one":
        return part.labels
    if part.relevance is None:
        raise DataError(
            f"protocol {spec.protocol.id} needs several labels an item, and this data set has one class each",
            place=f"task {spec.task.id}, data set {spec.task.dataset.component}",
            way_out="--task emoji-tags, or a data set with `labels`",
        )
    return part.relevance


def build_recipe(spec: RunSpec, train: Part, runs: Path | None = None) -> Recipe:
    """The method's components for this training set. `runs` is where the run that teaches lies, if one does.

    `RunError` when their source is not the key's, `DataError` when the items lack the protocol's labels, the
    column in which its pairs differ or the one that says who asks.
    """
    if spec.protocol.pairs is not None:
        across_of(spec.protocol.pairs, train, f"task {spec.task.id}")
    if spec.protocol.gallery is not None:
        column_of(spec.protocol.gallery, train, f"task {spec.task.id}")
        shown_columns(spec, train)
    images, batch = len(train.rows), spec.track.batch_size
    facts = {
        **_label_facts(spec, train),
        "num_samples": images,
        "steps": spec.budget // batch,
        "epoch_steps": max(1, images // batch),
        "batch_size": batch,
    }
    columns = set(spec.protocol.columns)
    home = spec.name.partition(":")[0]
    method = taught(spec, runs)
    recipe = Recipe(method, spec.track, facts, columns, Numerics(spec.numerics), spec.seed, home)
    for name, built in recipe.built.items():
        # The key was made when the command was issued; code saved since must not run under it.
        if digest_of(built.entry) != spec.sources[name]:
            raise RunError(
                f"the source of {name} ({built.entry.full_id}) has changed since the command was issued",
                way_out="issue the command again",
            )
    return recipe


def _label_facts(spec: RunSpec, train: Part) -> dict[str, object]:
    labels = labels_of(spec, train)
    if labels.ndim == 2:
        return {"num_labels": labels.shape[1], "label_counts": labels.sum(dim=0)}
    classes = len(train.classes)
    return {"num_classes": classes, "class_counts": torch.bincount(labels, minlength=classes)}


def build_trainer(spec: RunSpec, recipe: Recipe, data: Prepared) -> Trainer:
    """The training run of `spec` at its start."""
    train = data.train
    labels, columns = labels_of(spec, train), shown_columns(spec, train)
    images = TrainingImages(data.images, train.rows, labels, columns, spec.track.images, recipe.device)
    return Trainer(
        recipe,
        images,
        spec.track,
        seed=spec.seed,
        budget=spec.budget,
        extra_forwards=spec.protocol.extra_forwards,
        labels=pseudo_labels(spec, recipe, labels) if spec.protocol.pseudo_labels else None,
    )


def scored_with(spec: RunSpec, recipe: Recipe) -> dict[str, nn.Module]:
    """The components beside the network that scores depend on: their state is kept with its weights."""
    parts = {"combiner": recipe.combiner, "classifier": recipe.classifier if spec.protocol.shots else None}
    return {name: part.module for name, part in parts.items() if part and part.module is not None}


def load_weights(spec: RunSpec, recipe: Recipe, state: Mapping[str, torch.Tensor]) -> None:
    """Give the network and all that it is scored with the saved `state`, on the recipe's device."""
    parts = scored_with(spec, recipe)
    for name, part in parts.items():
        prefix = f"{name}."
        part.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        part.to(recipe.device)  # the network is there since it was built
    recipe.model.load_state_dict({k: v for k, v in state.items() if k.partition(".")[0] not in parts})


def used_components(recipe: Recipe, teacher: str | None = None) -> list[dict[str, object]]:
    """What a record says of each component; of the protocol's `teacher` its key, not where it lies."""
    said: list[dict[str, object]] = []
    for name, built in recipe.built.items():
        settings = {
            key: list(value) if isinstance(value, tuple) else value for key, value in built.settings.items()
        }
        if name == "teacher" and teacher is not None and "run" in settings:
            settings["run"] = teacher
        said.append(
            {
                "role": name,
                "id": built.entry.full_id,
                "version": built.entry.version,
                "source": digest_of(built.entry),
                "settings": settings,
            }
        )
    return said
