"""Who teaches a run: the protocol's teacher, or the finished run that the recipe names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from dmlbench.run.directory import RunDirectory
from dmlbench.run.finished import FinishedNetwork, check_teacher, digest_of_run
from dmlbench.spec.method import Method
from dmlbench.spec.run import RunSpec
from dmlbench.train.component import Built
from dmlbench.train.recipe import Recipe

_FINISHED_RUN = "finished-run"
_RUN, _DIGEST = "teacher.run", "teacher.digest"


def left_open(method: Method) -> bool:
    """Whether the recipe wants a finished run as its teacher, and leaves open which."""
    return _by_a_run(method) and not names_run(method)


def names_run(method: Method) -> bool:
    """Whether the recipe wants a finished run as its teacher, and says which."""
    return _by_a_run(method) and bool(method.teacher and method.teacher.settings.get("digest"))


def _by_a_run(method: Method) -> bool:
    return method.teacher is not None and method.teacher.component.rpartition(":")[2] == _FINISHED_RUN


def pinned(changes: Sequence[str]) -> list[str]:
    """`changes` of settings, with the digest of the run that they name as the teacher, if they name none."""
    named = {path: text for path, _, text in (change.partition("=") for change in changes)}
    if _RUN not in named or _DIGEST in named:
        return list(changes)
    folder = Path(named[_RUN].strip("\"'"))
    return [*changes, f"{_DIGEST}={digest_of_run(folder)}"]


def taught(spec: RunSpec, runs: Path | None) -> Method:
    """The run's recipe, its teacher filled in: the protocol's lies in the folder `runs`, by its key."""
    method = spec.method
    if method.teacher is None or spec.teacher is None or runs is None or not left_open(method):
        return method
    folder = runs / spec.teacher
    settings = {"run": str(folder), "digest": digest_of_run(folder)}
    return method.model_copy(update={"teacher": method.teacher.model_copy(update={"settings": settings})})


def as_if_taught(spec: RunSpec, runs: Path) -> RunSpec:
    """`spec`, or while its teacher is still to be trained, the same with the student's own kind of trunk in
    its place: so the rest of the recipe can be checked before."""
    if spec.teacher is None or not left_open(spec.method):
        return spec
    if RunDirectory(runs / spec.teacher).trained.exists():
        return spec
    trunk = spec.method.backbone or spec.track.backbone
    return spec.model_copy(
        update={
            "method": spec.method.model_copy(update={"teacher": trunk}),
            "sources": {**spec.sources, "teacher": spec.sources["backbone"]},
        }
    )


def state_digest(teacher: Built | None) -> str:
    """sha256 of a teacher's parameters and buffers, bit for bit; empty where there is none."""
    if teacher is None or teacher.module is None:
        return ""
    found = hashlib.sha256()
    for name, value in teacher.module.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def teacher_network(spec: RunSpec, recipe: Recipe, runs: Path) -> FinishedNetwork | None:
    """The network that the run is held against, on the recipe's device: its own teacher, else the protocol's.

    None where the protocol is about no teacher. `UsageError` for one that knows test classes.
    """
    if spec.protocol.distillation is None:
        return None
    own = recipe.teacher.module.modules() if recipe.teacher and recipe.teacher.module else ()
    found = next((part for part in own if isinstance(part, FinishedNetwork)), None)
    if found is None and spec.teacher is not None:
        folder = runs / spec.teacher
        found = FinishedNetwork(folder, digest_of_run(folder)).to(recipe.device)
        check_teacher(spec, found.spec)
    return found
