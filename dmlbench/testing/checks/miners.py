"""What a miner promises by what it yields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dmlbench.testing.answers import sound
from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import promise
from dmlbench.testing.tuples import check_mined, masks, roles

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_MINER = {"miner"}


@promise(
    "miner/form",
    _MINER,
    "A term reads what the descriptor says; a place past the last row is another error, far from its cause.",
)
def form(subject: Subject) -> None:
    bench = Bench(subject)
    sample = bench.samples.batch()
    check_mined(bench, sample, bench.answer(sample))


@promise(
    "miner/no-self-pairs",
    _MINER,
    "A row is at distance 0 from itself: as its own positive it teaches nothing and hides the real ones.",
    after=("miner/form",),
)
def no_self_pairs(subject: Subject) -> None:
    for places in _mined(subject, "positive"):
        if bool((places[0] == places[1]).any()):
            raise CheckFailed(f"pairs row {int(places[0][places[0] == places[1]][0])} with itself")


@promise(
    "miner/right-classes",
    _MINER,
    "A positive of another class, or a negative of the same one, trains against the labels.",
    after=("miner/form",),
)
def right_classes(subject: Subject) -> None:
    bench = Bench(subject)
    _refuse_weights(bench)
    sample = bench.samples.batch()
    positives, negatives = masks(bench, sample)
    itself = torch.eye(len(sample), dtype=torch.bool)  # `miner/no-self-pairs` speaks of these
    right = {"positive": positives | itself, "negative": negatives}
    for name, places in roles(bench.answer(sample)):
        wrong = ~right[name][places[0], places[1]]
        if bool(wrong.any()):
            anchor, ref = places[:, wrong][:, 0].tolist()
            raise CheckFailed(f"takes row {ref} as a {name} of row {anchor}: {int(wrong.sum())} such pairs")


@promise(
    "miner/no-duplicates",
    _MINER,
    "A tuple that is mined twice counts twice, so the loss has weights that nobody set.",
    after=("miner/form",),
)
def no_duplicates(subject: Subject) -> None:
    bench = Bench(subject)
    _refuse_weights(bench)
    if "generator" in subject.asks:
        raise NotApplicable("draws its tuples, with repetition if it likes")
    answer = bench.answer(bench.samples.batch())
    for name, tensor in vars(answer).items():
        if (twice := tensor.shape[1] - len(tensor.unique(dim=1).T)) > 0:
            raise CheckFailed(f"{name}: {twice} of {tensor.shape[1]} tuples are there already")


@promise(
    "miner/large-batch",
    _MINER,
    "A miner sees whatever the augmenters made: four times the batch must not break it.",
    after=("miner/form",),
)
def large_batch(subject: Subject) -> None:
    bench = Bench(subject)
    sound(bench, bench.samples.batch(classes=16, per_class=4))


def _mined(subject: Subject, role: str) -> list[torch.Tensor]:
    bench = Bench(subject)
    _refuse_weights(bench)
    return [places for name, places in roles(bench.answer(bench.samples.batch())) if name == role]


def _refuse_weights(bench: Bench) -> None:
    if bench.built.entry.plugin.yields == "weights":
        raise NotApplicable("yields weights, which name no pairs")
