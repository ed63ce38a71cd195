"""Values and gradients that are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dmlbench.errors import RunError
from dmlbench.testing.answers import finite_loss
from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import LOSSES, promise

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject


_MANY = 12
"""Classes, of four images each: enough rows for equal numbers among those of 8 bits."""


@promise(
    "values/finite",
    LOSSES,
    "The least that a loss owes: a finite value and finite gradients on an ordinary batch in fp32.",
)
def finite(subject: Subject) -> None:
    bench = Bench(subject)
    if finite_loss(bench, bench.samples.batch()) is None:
        raise CheckFailed("returns None for an ordinary batch of four classes with four images each")


@promise(
    "values/bf16-rows",
    LOSSES,
    "Under autocast embeddings carry 8 bits: ties are common and unit rows are a little too long or short.",
    after=("values/finite",),
)
def bf16_rows(subject: Subject) -> None:
    bench = Bench(subject)
    finite_loss(bench, bench.samples.batch(classes=_MANY).half_precise())


@promise(
    "values/nan-shown",
    LOSSES,
    "A network that has diverged must stop its run by name; a loss that hides NaN lets it train on.",
    after=("train/runs",),
)
def nan_shown(subject: Subject) -> None:
    trainer = subject.trainer()
    for parameter in trainer.recipe.model.heads.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    if not subject.asks & _ROWS:
        raise NotApplicable("reads no embeddings")
    try:
        trainer.step()
    except RunError as error:
        if "nan" not in str(error) and "inf" not in str(error):
            raise
        return
    raise CheckFailed("gives a finite value for embeddings that are all NaN")


_ROWS = {"embeddings", "raw", "unit", "ball", "anchors", "refs", "similarity", "heads"}
