"""The stage `embed`: the chosen images through the selected and the last weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from dmlbench.data.split import Side
from dmlbench.data.store import Prepared
from dmlbench.files import read_json, replacing, write_json
from dmlbench.run.assemble import build_recipe, embedded_images, load_weights, opened, shown_columns
from dmlbench.run.directory import TEACHER, RunDirectory
from dmlbench.run.teaching import teacher_network
from dmlbench.run.training import LAST, SELECTED
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec
from dmlbench.train.embedding import embed_images, embed_rows, embed_views
from dmlbench.train.images import TrainingImages
from dmlbench.train.recipe import Recipe

VIEWS = 5
"""Of each image, where a class is added by changed views: as many as Qi, Brown and Lowe's."""


def embed(directory: RunDirectory, folder: Path, scored: Scored) -> None:
    """Write the embeddings of the validation images or of the unlabelled, shuffled test images.

    Where scores rest on the training images too, also theirs, in the order of `Prepared.train`.
    """
    started = time.perf_counter()
    spec = RunSpec.from_file(directory.spec)
    data = opened(spec, directory, folder)
    runs = directory.root.parent
    recipe = build_recipe(spec, data.train, runs)
    sides: tuple[Side, ...] = (scored, "train") if spec.protocol.against_training else (scored,)
    teacher = teacher_network(spec, recipe, runs)
    taught: dict[str, Any] = {}
    if teacher is not None:
        rows, _ = embedded_images(spec, data, scored)
        seen = embed_images(teacher, data.images, rows, spec.track.images)
        _save(directory.embeddings(scored, TEACHER), seen)
        parameters = sum(p.numel() for p in teacher.parameters())
        taught = {"teacher_parameters": parameters, "teacher_distance": teacher.spec.method.distance}
    dimension = 0
    for which in (SELECTED, LAST):
        load_weights(spec, recipe, load_file(directory.weights(which)))
        for side in sides:
            rows, columns = embedded_images(spec, data, side)
            embeddings = embed_rows(recipe, data.images, rows, columns, spec.track.images)
            dimension = embeddings.shape[1]
            added = _for_shots(spec, recipe, data, directory, rows) if spec.protocol.shots else {}
            _save(directory.embeddings(side, which), embeddings, **added)
    took = {"dimension": dimension, **taught, "seconds": time.perf_counter() - started}
    write_json(directory.embedded(scored), took)


def _save(path: Path, embeddings: Tensor, **more: Tensor) -> None:
    found = {"embeddings": embeddings, **more}
    with replacing(path) as temporary:
        save_file({name: values.contiguous() for name, values in found.items()}, temporary)


def _for_shots(
    spec: RunSpec, recipe: Recipe, data: Prepared, directory: RunDirectory, rows: Int[Tensor, " item"]
) -> dict[str, Tensor]:
    """What a side's classes are added to: base classes by their images, trained on and scored, and the rows
    that the method learnt, if it does; and changed views of the items, if it adds classes by those."""
    train, pipeline = data.train, spec.track.images
    held = torch.tensor(read_json(directory.held)["rows"], dtype=torch.int64)
    found = {
        "train": embed_rows(recipe, data.images, train.rows, shown_columns(spec, train), pipeline),
        "held": embed_rows(recipe, data.images, held, {}, pipeline),
    }
    if (learnt := recipe.class_rows()) is not None:
        found["class_rows"] = learnt
    if spec.method.novel == "augmented":
        images = TrainingImages(data.images, rows, torch.zeros_like(rows), {}, pipeline, recipe.device)
        found["views"] = embed_views(recipe, images, VIEWS, spec.seed)
    return found
