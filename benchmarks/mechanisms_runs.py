"""Runs that `mechanisms.py` looks into: a method trained for a while, with everything that it holds."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from dmlbench.data.store import Part, Prepared
from dmlbench.protocols import load_task, load_track
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.home import ready
from dmlbench.run.planner import plan
from dmlbench.spec.track import ImagePipeline
from dmlbench.train.loop import Trainer


def started(
    method: str,
    arguments: argparse.Namespace,
    changes: tuple[str, ...] = (),
    *,
    train: Callable[[Part], Part] = lambda part: part,
) -> tuple[Trainer, Prepared]:
    """`method` before its first step, on what `train` makes of the training side."""
    changes = (*changes, *arguments.set)
    (planned,) = plan([method], task=arguments.task, profile="quick", seeds=[arguments.seed], changes=changes)
    data = ready(planned.spec.task, planned.spec.track.images)
    # In the place of what the cached property reads.
    vars(data)["train"] = train(data.train)
    return build_trainer(planned.spec, build_recipe(planned.spec, data.train), data), data


def trained(
    method: str,
    arguments: argparse.Namespace,
    changes: tuple[str, ...] = (),
    *,
    train: Callable[[Part], Part] = lambda part: part,
) -> tuple[Trainer, Prepared]:
    """`method` after so many images."""
    trainer, data = started(method, arguments, changes, train=train)
    while trainer.images_seen < arguments.images and not trainer.done:
        trainer.step()
    return trainer, data


def pipeline_of(arguments: argparse.Namespace) -> ImagePipeline:
    return load_track(load_task(arguments.task).track).images


def joined(part: Part, count: int) -> Part:
    """So many neighbouring classes are one."""
    names = tuple(" + ".join(part.classes[c : c + count]) for c in range(0, len(part.classes), count))
    return dataclasses.replace(part, labels=part.labels // count, classes=names)


def halves(part: Part) -> tuple[Part, Part]:
    """Every other image of each class, and the others."""
    order = part.labels.argsort(stable=True)
    return _kept(part, order[::2].sort().values), _kept(part, order[1::2].sort().values)


def _kept(part: Part, index: Int[Tensor, " n"]) -> Part:
    columns = {name: [values[i] for i in index.tolist()] for name, values in part.columns.items()}
    paths = tuple(part.paths[i] for i in index.tolist()) if part.paths else ()
    return dataclasses.replace(
        part, rows=part.rows[index], labels=part.labels[index], columns=columns, paths=paths
    )


def numbered(names: list[str]) -> Int[Tensor, " n"]:
    known = {name: number for number, name in enumerate(sorted(set(names)))}
    return torch.tensor([known[name] for name in names])
