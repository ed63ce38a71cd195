"""The stage `label`: what training and validation are told of the items, before any component sees one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dmlbench.data.noise import CLUSTER_SIDE, corrupt
from dmlbench.data.noise_list import read_noise_list
from dmlbench.data.shots import divided, part_of
from dmlbench.data.store import TRAIN, VALIDATION, Part, Prepared
from dmlbench.files import write_json
from dmlbench.run.directory import RunDirectory
from dmlbench.spec.run import RunSpec
from dmlbench.train.randomness import generator


def label(directory: RunDirectory, folder: Path) -> None:
    """Write what the run in `directory` trains and is selected on. No plugin runs here."""
    spec = RunSpec.from_file(directory.spec)
    data = Prepared.open(folder)
    listed = directory.noise_list.read_text(encoding="utf-8") if directory.noise_list.exists() else None
    directory.labels.mkdir(exist_ok=True)
    train, validation = told(spec, data, listed)
    if spec.protocol.shots is not None:
        cut = divided(spec.protocol.shots, data.train, f"task {spec.task.id}", novel=False)
        write_json(directory.held, {"rows": data.train.rows[cut.scored].tolist()})
    write_json(directory.labels / VALIDATION, validation.to_json())
    write_json(directory.labels / TRAIN, train.to_json())  # last: it marks the end of the stage


def told(spec: RunSpec, data: Prepared, listed: str | None = None) -> tuple[Part, Part]:
    """Training and validation items as the run's components know them; `listed` as in `noisy`.

    With few images of novel classes, base classes train on their pool; all of the validation side is known.
    """
    if spec.protocol.shots is not None:
        cut = divided(spec.protocol.shots, data.train, f"task {spec.task.id}", novel=False)
        return part_of(data.train, cut.pool), data.validation
    return noisy(spec, data, listed) if spec.noise else (data.train, data.validation)


def noisy(spec: RunSpec, data: Prepared, listed: str | None = None) -> tuple[Part, Part]:
    """Training and validation items with the labels that the run's noise gives them, from its seed.

    `listed` is the text of the published list that the noise names; it says nothing of validation items,
    which keep their labels.
    """
    assert spec.noise is not None
    parts = []
    for side, part in (("train", data.train), ("validation", data.validation)):
        labels: Mapping[str, int] = {}
        if spec.noise.rule == "list":
            if side == "validation":
                parts.append(part)
                continue
            labels = read_noise_list(listed or "", part.paths)
        drawn = corrupt(
            spec.noise,
            part,
            generator(spec.seed, "noise", side),
            small_pictures=lambda part=part: _small_pictures(data, part),
            listed=labels,
        )
        parts.append(drawn)
    return parts[0], parts[1]


def _small_pictures(data: Prepared, part: Part) -> Float[Tensor, "item pixels"]:
    """Each picture at 16 x 16 pixels, 0 to 1."""
    portions = []
    for rows in part.rows.split(1024):
        pictures = data.images[rows].permute(0, 3, 1, 2).float() / 255
        portions.append(functional.adaptive_avg_pool2d(pictures, CLUSTER_SIDE).flatten(start_dim=1))
    return torch.cat(portions)
