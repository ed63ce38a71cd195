"""What an augmenter promises: new rows, and where each came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import promise
from dmlbench.testing.samples import Sample
from dmlbench.testing.watch import same
from dmlbench.train.values import NewRows

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_AUGMENTER = {"augmenter"}


@promise(
    "augmenter/form",
    _AUGMENTER,
    "Core appends what it gets: rows as wide as the old ones, or images as large, and nothing else.",
)
def form(subject: Subject) -> None:
    bench, sample, answer = _answered(subject)
    at, old = _at(bench), _old_rows(bench, sample)
    if isinstance(answer, Tensor) and at == "image":
        if answer.shape != old.shape:
            raise CheckFailed(f"changes images of shape {tuple(old.shape)} into {tuple(answer.shape)}")
        return
    if not isinstance(answer, NewRows):
        raise CheckFailed(f"returns a {type(answer).__name__}, not NewRows")
    if answer.rows.shape[1:] != old.shape[1:] or answer.rows.dtype != old.dtype:
        wanted = f"{old.dtype} of shape (new, {', '.join(map(str, old.shape[1:]))})"
        raise CheckFailed(f"returns {answer.rows.dtype} of shape {tuple(answer.rows.shape)}, not {wanted}")


@promise(
    "augmenter/source",
    _AUGMENTER,
    "Labels and all other columns follow `source`: a wrong place gives a new row another picture's label.",
    after=("augmenter/form",),
)
def source(subject: Subject) -> None:
    _, sample, answer = _answered(subject)
    places = _new(answer).source
    if places.dtype != torch.int64 or places.shape != (len(_new(answer).rows),):
        raise CheckFailed(f"source is {places.dtype} of shape {tuple(places.shape)}: one int64 a new row")
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < len(sample):
        raise CheckFailed(
            f"source goes from {int(places.min())} to {int(places.max())} of {len(sample)} rows"
        )


@promise(
    "augmenter/new-rows",
    _AUGMENTER,
    "Core keeps the old rows; an augmenter that returns them too doubles their weight in every loss.",
    after=("augmenter/form",),
)
def new_rows(subject: Subject) -> None:
    bench, sample, answer = _answered(subject)
    rows, old = _new(answer).rows.detach(), _old_rows(bench, sample)
    if len(rows) >= len(old) and (same(rows[: len(old)], old) or same(rows[-len(old) :], old)):
        raise CheckFailed(f"returns the {len(old)} old rows among {len(rows)} new ones")


@promise(
    "augmenter/unit-length",
    _AUGMENTER,
    "Rows made at `unit` are compared by dot product: a longer row counts as more alike to all.",
    after=("augmenter/form",),
)
def unit_length(subject: Subject) -> None:
    bench, _, answer = _answered(subject)
    if _at(bench) != "unit":
        raise NotApplicable(f"acts at {_at(bench)!r}, before rows are normalised")
    lengths = _new(answer).rows.detach().norm(dim=1)
    if not torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4):
        raise CheckFailed(
            f"makes unit rows of length {float(lengths.min()):.4g} to {float(lengths.max()):.4g}"
        )


@promise(
    "augmenter/gradient",
    _AUGMENTER,
    "New rows may carry a gradient to the old ones, and then it has to be finite.",
    after=("augmenter/form",),
)
def gradient(subject: Subject) -> None:
    bench = Bench(subject)
    call = bench.prepare(bench.samples.batch())
    rows = _new(bench.call(call)).rows
    if not rows.requires_grad:
        raise NotApplicable("its rows carry no gradient")
    gradients = torch.autograd.grad(rows.square().sum() + rows.sum(), call.leaves, allow_unused=True)
    if any(g is not None and not bool(torch.isfinite(g).all()) for g in gradients):
        raise CheckFailed("the gradient to the rows it started from is not finite")


def _answered(subject: Subject) -> tuple[Bench, Sample, Any]:
    bench = Bench(subject)
    sample = bench.samples.batch()
    answer = bench.answer(sample)
    if answer is None:
        raise NotApplicable("makes nothing of an ordinary batch")
    return bench, sample, answer


def _new(answer: Any) -> NewRows:
    if not isinstance(answer, NewRows):
        raise NotApplicable("makes no new rows")
    return answer


def _at(bench: Bench) -> str:
    return str(bench.built.entry.plugin.at)


def _old_rows(bench: Bench, sample: Sample) -> Tensor:
    """What stands before the new rows."""
    name = {"image": "images"}.get(_at(bench), _at(bench))
    return bench.prepare(sample).scope[name].detach()
