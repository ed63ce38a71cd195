"""From a run's spec and a prepared data set to the objects that train."""

from __future__ import annotations

from pathlib import Path

import torch

from dmlbench.data.store import Part, Prepared
from dmlbench.errors import RunError
from dmlbench.registry.registry import digest_of
from dmlbench.run.directory import RunDirectory
from dmlbench.spec.run import RunSpec
from dmlbench.train.images import TrainingImages
from dmlbench.train.loop import Trainer
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe


def opened(spec: RunSpec, directory: RunDirectory, folder: Path) -> Prepared:
    """The prepared data as the run's components may know it: with label noise, the true labels stay shut."""
    return Prepared.open(folder, directory.labels if spec.noise is not None else None)


def shown_columns(spec: RunSpec, part: Part) -> dict[str, torch.Tensor]:
    """The data set's columns that the protocol lets components see, as integers."""
    return {name: torch.as_tensor(part.columns[name], dtype=torch.int64) for name in spec.protocol.columns}


def build_recipe(spec: RunSpec, train: Part) -> Recipe:
    """The method's components for this training set. `RunError` when their source is not the key's."""
    images, batch = len(train.rows), spec.track.batch_size
    facts = {
        "num_classes": len(train.classes),
        "num_samples": images,
        "class_counts": torch.bincount(train.labels, minlength=len(train.classes)),
        "steps": spec.budget // batch,
        "epoch_steps": max(1, images // batch),
        "batch_size": batch,
    }
    columns = set(spec.protocol.columns)
    home = spec.name.partition(":")[0]
    recipe = Recipe(spec.method, spec.track, facts, columns, Numerics(spec.numerics), spec.seed, home)
    for name, built in recipe.built.items():
        # The key was made when the command was issued; code saved since must not run under it.
        if digest_of(built.entry) != spec.sources[name]:
            raise RunError(
                f"the source of {name} ({built.entry.full_id}) has changed since the command was issued",
                way_out="issue the command again",
            )
    return recipe


def build_trainer(spec: RunSpec, recipe: Recipe, data: Prepared) -> Trainer:
    """The training run of `spec` at its start."""
    train = data.train
    images = TrainingImages(
        data.images, train.rows, train.labels, shown_columns(spec, train), spec.track.images, recipe.device
    )
    return Trainer(
        recipe,
        images,
        spec.track,
        seed=spec.seed,
        budget=spec.budget,
        extra_forwards=spec.protocol.extra_forwards,
    )


def used_components(recipe: Recipe) -> list[dict[str, object]]:
    """What a record says of each component."""
    return [
        {
            "role": name,
            "id": built.entry.full_id,
            "version": built.entry.version,
            "source": digest_of(built.entry),
            "settings": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in built.settings.items()
            },
        }
        for name, built in recipe.built.items()
    ]
