"""The order of the rows means nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmlbench.testing.answers import compare, sound
from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import LOSSES, promise
from dmlbench.testing.checks.degenerate import random_draws
from dmlbench.testing.tuples import mined_sets

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject


@promise(
    "order/rows",
    {*LOSSES, "miner"},
    "A batch is a set: a loss that depends on the order of its rows depends on the sampler's habits.",
    after=("values/finite", "miner/form", "train/same-bits", "state/resume"),
)
def rows(subject: Subject) -> None:
    bench = Bench(subject)
    sample = bench.samples.batch()
    if random_draws(subject, bench, sample):
        raise NotApplicable("draws random numbers, row by row")
    if subject.role in LOSSES:
        compare(bench, sample, sample.shuffled(), "the same rows in another order")
        return
    plain, shuffled = sound(bench, sample), sound(bench, sample.shuffled())
    if mined_sets(bench, plain) != mined_sets(bench, shuffled, sample.order()):
        raise CheckFailed("mines other tuples when the same rows come in another order")
