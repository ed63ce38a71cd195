"""One method against another: paired by seed, tested over seeds and over classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dmlbench.errors import ResultsError
from dmlbench.results.bootstrap import class_interval
from dmlbench.results.classes import ClassSums
from dmlbench.results.conditions import require_comparable
from dmlbench.results.statistics import LEVEL, MIN_SEEDS, holm, seeds_needed, sign_flip, summarise
from dmlbench.spec.record import Record

#: `no class sums`: the second test cannot be made, so nothing is claimed. There is no "equal".
Verdict = Literal["real", "undecided", "too few seeds", "no class sums"]

#: How the per-class sums of a record are got; None when it has none.
SumsOf = Callable[[Record], ClassSums | None]


@dataclass(frozen=True)
class Difference:
    """A's metric minus B's, over the seeds that both have."""

    metric: str
    seeds: int
    a: float
    b: float
    difference: float
    half_width: float | None
    """Of the 95 % t interval over seeds; None for one seed."""
    interval: tuple[float, float] | None
    """95 % over resampled classes; None without per-class sums of this metric."""
    p: float
    """Of the exact paired sign-flip test over seeds, for this comparison alone."""
    p_adjusted: float
    """The same after Holm's correction over all declared comparisons."""
    verdict: Verdict
    seeds_needed: int | None
    """In all, for an undecided difference of this size; None when it is more than 100 or not asked."""


@dataclass(frozen=True)
class Comparison:
    """Two methods under equal conditions; the primary metric's difference stands first."""

    a: str
    b: str
    seeds: tuple[int, ...]
    unpaired: tuple[int, ...]
    """Seeds that only one side has; they are not used."""
    differences: tuple[Difference, ...]


def pair(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[Record, Record]]:
    """The ok records of seeds that both sides have, in order of seed.

    Raises `ResultsError` when the sides are not comparable, the same seed stands twice, or none is shared.
    """
    a, b = ([record for record in side if record.outcome.status == "ok"] for side in (a, b))
    require_comparable(a, b)
    by_seed = [{record.seed: record for record in side} for side in (a, b)]
    for side, seeds in zip((a, b), by_seed, strict=True):
        if len(seeds) < len(side):
            raise ResultsError(f"{side[0].method}: a seed has two records", way_out="leave the older run out")
    shared = sorted(by_seed[0].keys() & by_seed[1].keys())
    if not shared:
        raise ResultsError(
            "no seed is shared, so nothing can be paired",
            place=" against ".join(f"{s[0].method} (seeds {_list([r.seed for r in s])})" for s in (a, b)),
            way_out="run both methods with the same seeds",
        )
    return [(by_seed[0][seed], by_seed[1][seed]) for seed in shared]


def measure(pairs: Sequence[tuple[Record, Record]], metric: str, sums: SumsOf) -> Difference:
    """The difference and both tests, judged as the only comparison made."""
    values = [(a.metrics[metric], b.metrics[metric]) for a, b in pairs]
    gains = [x - y for x, y in values]
    summary = summarise(gains)
    p = sign_flip(gains)
    measured = Difference(
        metric=metric,
        seeds=len(pairs),
        a=summarise([x for x, _ in values]).mean,
        b=summarise([y for _, y in values]).mean,
        difference=summary.mean,
        half_width=summary.half_width,
        interval=_interval(pairs, metric, sums),
        p=p,
        p_adjusted=p,
        verdict="undecided",
        seeds_needed=seeds_needed(gains),
    )
    return judge([measured])[0]


def judge(measured: Sequence[Difference]) -> list[Difference]:
    """The same differences as the declared comparisons of one table: Holm-adjusted, with verdicts.

    `real` needs both: an adjusted p under 5 %, and an interval over classes that leaves 0 out. The seeds that
    are too few for a verdict still count as comparisons made.
    """
    adjusted = holm([one.p for one in measured])
    return [
        replace(one, p_adjusted=p, verdict=_verdict(one, p))
        for one, p in zip(measured, adjusted, strict=True)
    ]


def compare(
    a: Sequence[Record], b: Sequence[Record], *, sums: SumsOf, primary: str = "map_at_r"
) -> Comparison:
    """Compare two methods' records in every metric that both report.

    `sums` gives a record's per-class sums. The primary metric (the first by name when it is not reported) is
    the declared comparison; the others describe, and their p is not corrected for being many. Raises
    `ResultsError` naming what differs when the records are not comparable.
    """
    pairs = pair(a, b)
    shared = set.intersection(*(set(record.metrics) for both in pairs for record in both))
    if not shared:
        raise ResultsError(f"{pairs[0][0].method} and {pairs[0][1].method} report no metric in common")
    names = sorted(shared, key=lambda name: (name != primary, natural(name)))
    seeds = tuple(x.seed for x, _ in pairs)
    every = {record.seed for record in (*a, *b) if record.outcome.status == "ok"}
    return Comparison(
        a=pairs[0][0].method,
        b=pairs[0][1].method,
        seeds=seeds,
        unpaired=tuple(sorted(every - set(seeds))),
        differences=tuple(measure(pairs, name, sums) for name in names),
    )


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts `recall_at_2` before `recall_at_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split("_")]


def _verdict(one: Difference, p: float) -> Verdict:
    if one.seeds < MIN_SEEDS:
        return "too few seeds"
    if one.interval is None:
        return "no class sums"
    low, high = one.interval
    return "real" if p < LEVEL and (low > 0 or high < 0) else "undecided"


def _interval(
    pairs: Sequence[tuple[Record, Record]], metric: str, sums: SumsOf
) -> tuple[float, float] | None:
    found: list[tuple[ClassSums, ClassSums]] = []
    for a, b in pairs:
        of_a, of_b = sums(a), sums(b)
        if of_a is None or of_b is None or metric not in of_a.sums or metric not in of_b.sums:
            return None
        found.append((of_a, of_b))
    return class_interval(found, metric)


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(seeds))
