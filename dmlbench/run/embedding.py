"""The stage `embed`: the chosen images through the selected and the last weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from dmlbench.data.split import Side
from dmlbench.files import replacing, write_json
from dmlbench.run.assemble import build_recipe, embedded_images, opened
from dmlbench.run.directory import TEACHER, RunDirectory
from dmlbench.run.teaching import teacher_network
from dmlbench.run.training import LAST, SELECTED
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec
from dmlbench.train.embedding import embed_images, embed_rows
from dmlbench.train.recipe import Recipe


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
    teacher = teacher_network(spec, recipe.teacher, runs)
    taught: dict[str, Any] = {}
    if teacher is not None:
        rows, _ = embedded_images(spec, data, scored)
        seen = embed_images(teacher, data.images, rows, spec.track.images)
        _save(directory.embeddings(scored, TEACHER), seen)
        parameters = sum(p.numel() for p in teacher.parameters())
        taught = {"teacher_parameters": parameters, "teacher_distance": teacher.spec.method.distance}
    dimension = 0
    for which in (SELECTED, LAST):
        _load_weights(recipe, load_file(directory.weights(which)))
        for side in sides:
            rows, columns = embedded_images(spec, data, side)
            embeddings = embed_rows(recipe, data.images, rows, columns, spec.track.images)
            dimension = embeddings.shape[1]
            _save(directory.embeddings(side, which), embeddings)
    took = {"dimension": dimension, **taught, "seconds": time.perf_counter() - started}
    write_json(directory.embedded(scored), took)


def _save(path: Path, embeddings: Float[Tensor, "item dim"]) -> None:
    with replacing(path) as temporary:
        save_file({"embeddings": embeddings.contiguous()}, temporary)


def _load_weights(recipe: Recipe, state: dict[str, torch.Tensor]) -> None:
    own: dict[str, Any] = {k: v for k, v in state.items() if not k.startswith("combiner.")}
    recipe.model.load_state_dict(own)
    if recipe.combiner and recipe.combiner.module is not None:
        prefix = "combiner."
        rest = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        recipe.combiner.module.load_state_dict(rest)
