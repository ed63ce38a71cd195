"""The stage `tune`: training with novel classes, once for each number of images and draw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dmlbench.data.store import Part, Prepared
from dmlbench.files import read_json, replacing, write_json
from dmlbench.run.assemble import build_recipe, embedded_images, load_weights, opened
from dmlbench.run.directory import RunDirectory
from dmlbench.score.low_shot import imprint
from dmlbench.spec.protocol import Scored, Shots
from dmlbench.spec.run import RunSpec
from dmlbench.train.embedding import embed_rows
from dmlbench.train.images import TrainingImages
from dmlbench.train.loop import Trainer
from dmlbench.train.randomness import derive
from dmlbench.train.recipe import Recipe

Report = Callable[[dict[str, Any]], None]


def tune(directory: RunDirectory, folder: Path, scored: Scored, report: Report) -> None:
    """Train on base classes and what is shown of novel ones; write what comes of the side's images.

    `fine-tuned` goes on from the reported weights, with imprinted rows, a new optimiser, and the protocol's
    share of the budget and factor on the rates. `joint` starts from nothing and has the whole budget. Either
    draws its batches as the method does. A training that was finished before an interruption is kept.
    """
    started = time.perf_counter()
    spec = RunSpec.from_file(directory.spec)
    rules = spec.protocol.shots
    assert rules is not None
    data = opened(spec, directory, folder)
    few = read_json(directory.shown(scored))
    longer = _longer(spec, rules)
    side, _ = embedded_images(spec, data, scored)
    trainings = [(number, draw) for number in few["numbers"] for draw in range(rules.tuned_draws)]
    for done, (number, draw) in enumerate(trainings):
        file = directory.tuned(scored, number, draw)
        if file.exists():
            continue
        places = torch.tensor(few["places"][draw])[:, :number]
        train = with_novel(data.train, side[places])
        recipe = build_recipe(longer, train, directory.root.parent)
        if spec.method.novel == "fine-tuned":
            _start_from(directory, spec, scored, recipe, places)
        name, before = f"{scored}/{number}/{draw}", done * longer.budget
        seen = _train(longer, recipe, data, train, name, report, before)
        _save(file, spec, recipe, data, directory, side, seen)
    images = sum(_images_seen(directory.tuned(scored, *key)) for key in trainings)
    write_json(directory.tuning(scored), {"images_seen": images, "seconds": time.perf_counter() - started})


def with_novel(train: Part, rows: Int[Tensor, "class shot"]) -> Part:
    """The base classes' images, and those in the store's `rows` as classes after them."""
    count, shots = rows.shape
    labels = len(train.classes) + torch.arange(count).repeat_interleave(shots)
    return replace(
        train,
        rows=torch.cat([train.rows, rows.flatten()]),
        labels=torch.cat([train.labels, labels]),
        classes=(*train.classes, *(f"novel/{number}" for number in range(count))),
        columns={},
        paths=(),
    )


def _longer(spec: RunSpec, rules: Shots) -> RunSpec:
    """The run as it goes on: another budget and other rates."""
    if spec.method.novel == "joint":
        return spec
    track = spec.track
    rate = track.optimiser.rate * rules.tuning_rate
    budget = max(track.batch_size, int(spec.budget * rules.tuning))
    changes = {
        "optimiser": track.optimiser.model_copy(update={"rate": rate}),
        "budget": {**track.budget, spec.profile: budget},
    }
    return spec.model_copy(update={"track": track.model_copy(update=changes)})


def _start_from(
    directory: RunDirectory,
    spec: RunSpec,
    scored: Scored,
    recipe: Recipe,
    places: Int[Tensor, "class shot"],
) -> None:
    """Load the weights that the run reports; novel classes have imprinted rows behind the learnt ones."""
    state = load_file(directory.weights(spec.protocol.reported))
    embeddings = load_file(directory.embeddings(scored, spec.protocol.reported))["embeddings"]
    rows = "classifier.class_rows"
    state[rows] = torch.cat([state[rows], imprint(embeddings[places])])
    load_weights(spec, recipe, state)


def _train(
    spec: RunSpec, recipe: Recipe, data: Prepared, train: Part, name: str, report: Report, before: int
) -> int:
    """Train until the budget is used; how many images were seen."""
    images = TrainingImages(data.images, train.rows, train.labels, {}, spec.track.images, recipe.device)
    trainer = Trainer(
        recipe,
        images,
        spec.track,
        seed=derive(spec.seed, "tune", name),
        budget=spec.budget,
        extra_forwards=spec.protocol.extra_forwards,
    )
    while not trainer.done:
        values = trainer.step()
        if trainer.step_number % 10 == 0:
            report({"images": before + trainer.images_seen, "loss": values.get("loss")})
    return trainer.images_seen


def _save(
    file: Path,
    spec: RunSpec,
    recipe: Recipe,
    data: Prepared,
    directory: RunDirectory,
    side: Int[Tensor, " item"],
    images_seen: int,
) -> None:
    held = torch.tensor(read_json(directory.held)["rows"], dtype=torch.int64)
    rows = recipe.class_rows()
    assert rows is not None
    found = {
        "images_seen": torch.tensor(images_seen),
        "class_rows": rows,
        "embeddings": embed_rows(recipe, data.images, side, {}, spec.track.images),
        "held": embed_rows(recipe, data.images, held, {}, spec.track.images),
    }
    with replacing(file) as temporary:
        save_file({name: values.contiguous() for name, values in found.items()}, temporary)


def _images_seen(file: Path) -> int:
    with safe_open(file, "pt") as found:
        return int(found.get_tensor("images_seen"))
