"""Batches that a run meets sooner or later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from dmlbench.testing.answers import compare, sound
from dmlbench.testing.bench import Bench
from dmlbench.testing.case import NotApplicable
from dmlbench.testing.catalogue import LOSSES, promise
from dmlbench.testing.samples import Sample, Samples

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_SEES_ROWS = {*LOSSES, "miner", "augmenter"}
_USUAL = ("build", "values/finite", "miner/form", "augmenter/form", "augmenter/source")
"""An ordinary batch is no trouble."""
_STEADY = (*_USUAL, "train/same-bits", "state/resume")
"""Two calls can be compared."""
_MINED = {"pairs", "triplets", "weights"}
_INDEXED = {"num_classes", "class_counts", "by_class", "train_labels"}
"""Who asks for these has a place for each class, so labels are 0 to num_classes - 1."""


def _odd(name: str, make: Callable[[Samples], Sample], reason: str) -> None:
    def run(subject: Subject) -> None:
        bench = Bench(subject)
        sound(bench, make(bench.samples))

    promise(f"degenerate/{name}", _SEES_ROWS, reason, after=_USUAL)(run)


_odd(
    "one-class",
    Samples.one_class,
    "A batch of one class has no negatives: a mean over them is 0 / 0.",
)
_odd(
    "all-distinct",
    Samples.all_distinct,
    "A batch in which every image has a class of its own has no positives: a mean over them is 0 / 0.",
)
_odd(
    "one-row",
    Samples.one_row,
    "The last batch of a small class may hold one image: no pairs, no variance, no second row.",
)
_odd(
    "duplicates",
    Samples.duplicates,
    "Data sets hold a picture twice: distances of exactly 0 have no finite square root gradient.",
)


@promise(
    "degenerate/large-labels",
    _SEES_ROWS,
    "float32 cannot tell label 16777216 from 16777217, so labels that pass through floats merge classes.",
    after=_STEADY,
)
def large_labels(subject: Subject) -> None:
    if subject.several_labels:
        raise NotApplicable("reads labels that are rows of yes and no, without numbers")
    if named := sorted(subject.asks & _INDEXED):
        raise NotApplicable(f"labels index its classes (it asks for {', '.join(named)})")
    bench = Bench(subject)
    sample = bench.samples.batch()
    compare(bench, sample, sample.large_labels(), "labels that are 16777216 larger")


@promise(
    "degenerate/non-contiguous",
    _SEES_ROWS,
    "Rows may be slices or transposes of larger tensors, which `view` refuses and `data_ptr` misreads.",
    after=_STEADY,
)
def non_contiguous(subject: Subject) -> None:
    bench = Bench(subject)
    sample = bench.samples.batch()
    compare(bench, sample, sample.non_contiguous(), "the same rows in another memory layout")


@promise(
    "degenerate/nothing-mined",
    {*LOSSES, "augmenter"},
    "A miner may find nothing, late in training more often than not: that is None or 0, never NaN.",
    after=_USUAL,
)
def nothing_mined(subject: Subject) -> None:
    if not subject.asks & _MINED:
        raise NotApplicable("reads nothing mined")
    bench = Bench(subject, empty_miner=True)
    sound(bench, bench.samples.batch())


@promise(
    "degenerate/other-refs",
    {*LOSSES, "miner"},
    "A term may compare its rows with a memory: who takes anchors and refs must not expect a square.",
    after=_USUAL,
)
def other_refs(subject: Subject) -> None:
    if not subject.asks & _PAIRWISE:
        raise NotApplicable("compares no anchors with refs")
    if square := sorted(subject.asks & _SQUARE):
        raise NotApplicable(f"needs its rows on both sides (it asks for {', '.join(square)})")
    bench = Bench(subject, memory=24)
    sound(bench, bench.samples.batch())


_PAIRWISE = {"anchors", "refs", "ref_labels", "ref_relevance", "similarity", "positives", "negatives"}
_SQUARE = {"embeddings", "labels", "relevance", "raw", "unit", "ball", "weights", "indices", "source"}


def random_draws(subject: Subject, bench: Bench, sample: Sample) -> bool:
    """Whether other seeds give other answers."""
    one, other = (answer_bits(bench, sample), answer_bits(Bench(subject, seed=1), sample))
    return one != other


def answer_bits(bench: Bench, sample: Sample) -> list[Any]:
    """The bits of an answer, comparable with `==`."""
    answer = bench.value(sample) if bench.subject.role in LOSSES else bench.answer(sample)
    found = [answer] if isinstance(answer, torch.Tensor) else list(vars(answer).values()) if answer else []
    return [tensor.detach().tolist() for tensor in found]
