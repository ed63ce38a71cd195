"""What a sampler promises: batches of its size and roles, all classes in time, nothing up its sleeve."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch

from dmlbench.errors import ContractError
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import promise
from dmlbench.testing.draws import Draws
from dmlbench.train.values import Batch

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_SAMPLER = {"sampler"}
MANY = 200
"""Draws in which every class has to appear."""
_FEW = 6


@promise(
    "sampler/batch",
    _SAMPLER,
    "Each draw is one batch: int64 places of training images, 1 to the track's batch size, with its roles.",
)
def batch(subject: Subject) -> None:
    draws = Draws(subject)
    for step in range(_FEW):
        found = draws.batch(step)
        indices = found.indices
        if not isinstance(indices, torch.Tensor):
            raise CheckFailed(f"draws a {type(indices).__name__}, not a tensor of places")
        if indices.dtype != torch.int64 or indices.ndim != 1:
            raise CheckFailed(
                f"draws {indices.dtype} of shape {tuple(indices.shape)}, not int64 of shape (n,)"
            )
        if not len(indices):
            raise CheckFailed("draws an empty batch")
        if not 0 <= int(indices.min()) <= int(indices.max()) < draws.images:
            raise CheckFailed(f"draws images {int(indices.min())} to {int(indices.max())} of {draws.images}")
        draws.checked(found)
        if wrong := [name for name, column in found.roles.items() if len(column) != len(indices)]:
            raise CheckFailed(f"the roles {', '.join(wrong)} do not have one value a row")


@promise(
    "sampler/per-class",
    _SAMPLER,
    "Losses are tuned to the number of images a class has in a batch; a setting that says it must hold.",
    after=("sampler/batch",),
)
def per_class(subject: Subject) -> None:
    draws = Draws(subject)
    _refuse_several_labels(subject)
    promised = draws.settings.get("per_class")
    if not isinstance(promised, int):
        raise NotApplicable("has no setting `per_class`")
    for step in range(_FEW):
        found = draws.labels[draws.batch(step).indices]
        classes, counts = found.unique(return_counts=True)
        if bool((counts != promised).any()):
            wrong = int(classes[counts != promised][0])
            raise CheckFailed(
                f"class {wrong} has {int(counts[counts != promised][0])} images, not {promised}"
            )


@promise(
    "sampler/every-class",
    _SAMPLER,
    "A class, or a label, that is never drawn is not trained on, whatever is recorded of the training set.",
    after=("sampler/batch",),
)
def every_class(subject: Subject) -> None:
    draws = Draws(subject)
    missing = draws.shown(Batch(torch.arange(draws.images)))
    for step in range(MANY):
        missing -= draws.shown(draws.batch(step))
        if not missing:
            return
    what = "label" if subject.several_labels else "class"
    raise CheckFailed(f"{what} {min(missing)} is in none of {MANY} batches ({len(missing)} like it)")


@promise(
    "sampler/left-out",
    _SAMPLER,
    "Labels change while training runs; an image that `relabel` left out (-1) is not to be drawn.",
    after=("sampler/batch",),
)
def left_out(subject: Subject) -> None:
    draws = Draws(subject)
    _refuse_several_labels(subject)
    draws.leave_out(torch.arange(draws.images) % 3 == 0)
    try:
        for step in range(_FEW):
            draws.checked(draws.batch(step))
    except ContractError as error:
        raise CheckFailed(error.message) from error


@promise(
    "sampler/no-look-ahead",
    _SAMPLER,
    "A batch prepared in an earlier step is in no checkpoint: a draw follows from state and generator.",
    after=("sampler/batch", "state/declared"),
)
def no_look_ahead(subject: Subject) -> None:
    whole = Draws(subject)
    for step in range(_FEW):
        cut = Draws(subject)
        cut.load(_copied(whole.state()))
        one, other = whole.batch(step), cut.batch(step)
        if not torch.equal(one.indices, other.indices):
            raise CheckFailed(
                f"with the state from before step {step}, a new sampler draws another batch there"
            )


def _refuse_several_labels(subject: Subject) -> None:
    if subject.several_labels:
        raise NotApplicable("is for images with several labels, which have no class and all train")


def _copied(state: dict[str, object]) -> dict[str, object]:
    """As a checkpoint would hold it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)
