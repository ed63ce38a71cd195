"""The stage `embed`: the chosen images through the selected and the last weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dmlbench.files import replacing, write_json
from dmlbench.run.assemble import build_recipe, embedded_images, opened
from dmlbench.run.directory import RunDirectory
from dmlbench.run.training import LAST, SELECTED
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec
from dmlbench.train.embedding import embed_rows
from dmlbench.train.recipe import Recipe


def embed(directory: RunDirectory, folder: Path, scored: Scored) -> None:
    """Write the embeddings of the validation images or of the unlabelled, shuffled test images."""
    started = time.perf_counter()
    spec = RunSpec.from_file(directory.spec)
    data = opened(spec, directory, folder)
    recipe = build_recipe(spec, data.train)
    rows, columns = embedded_images(spec, data, scored)
    dimension = 0
    for which in (SELECTED, LAST):
        _load_weights(recipe, load_file(directory.weights(which)))
        embeddings = embed_rows(recipe, data.images, rows, columns, spec.track.images)
        dimension = embeddings.shape[1]
        with replacing(directory.embeddings(scored, which)) as temporary:
            save_file({"embeddings": embeddings.contiguous()}, temporary)
    write_json(directory.embedded(scored), {"dimension": dimension, "seconds": time.perf_counter() - started})


def _load_weights(recipe: Recipe, state: dict[str, torch.Tensor]) -> None:
    own: dict[str, Any] = {k: v for k, v in state.items() if not k.startswith("combiner.")}
    recipe.model.load_state_dict(own)
    if recipe.combiner and recipe.combiner.module is not None:
        prefix = "combiner."
        rest = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        recipe.combiner.module.load_state_dict(rest)
