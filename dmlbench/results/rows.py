"""From records to the rows of tables: who shares a table, who stands below the line, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dmlbench.results.compare import Difference, SumsOf, judge, measure, natural
from dmlbench.results.conditions import Conditions, conditions, variant
from dmlbench.results.statistics import Summary, summarise
from dmlbench.results.store import effective
from dmlbench.spec.record import Record


@dataclass(frozen=True)
class Row:
    """One recipe of one method on one kind of numerics."""

    method: str
    numerics: str
    variant: str
    """Eight hex digits of the recipe, when the table holds two of one method; else empty."""
    records: tuple[Record, ...]
    """Ok records in order of seed; of two records of a seed the newer run."""
    failures: tuple[Record, ...]
    """Failed runs of seeds that have no ok record."""
    missing: str = ""
    """What keeps an incomplete row below the line."""
    tier: int | None = None
    difference: Difference | None = None
    """The primary metric's, to the named base."""
    verdict: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.seed for record in self.records)

    @property
    def on_track(self) -> bool:
        return all(record.on_track for record in self.records)

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader has to know of the recipe: that it is reconstructed, that it was told a secret."""
        runs = (*self.records, *self.failures)
        reconstructed = any(record.fidelity == "reconstruction" for record in runs)
        told = any(record.oracle for record in runs)
        return ("reconstruction",) * reconstructed + ("oracle",) * told

    @property
    def costs(self) -> dict[str, float]:
        """What a step took, the mean over the seeds."""
        names = sorted({name for record in self.records for name in record.costs})
        means = {
            name: [record.costs[name] for record in self.records if name in record.costs] for name in names
        }
        return {name: sum(values) / len(values) for name, values in means.items()}

    @property
    def base(self) -> str:
        return next((record.base for record in (*self.records, *self.failures) if record.base), "")

    def summary(self, metric: str) -> Summary | None:
        """Mean and interval over the seeds; None unless every seed reports the metric."""
        values = [record.metrics.get(metric) for record in self.records]
        known = [value for value in values if value is not None]
        return summarise(known) if known and len(known) == len(values) else None


@dataclass(frozen=True)
class Section:
    """Comparable rows: one table."""

    conditions: Conditions
    primary: str
    metrics: tuple[str, ...]
    """The primary one first, then by name."""
    rows: tuple[Row, ...]
    off_track: tuple[Row, ...]
    incomplete: tuple[Row, ...]
    comparisons: int
    """Declared comparisons that Holm's correction counts."""


def sections(records: Iterable[Record], *, sums: SumsOf, primary: str, tiers: bool) -> list[Section]:
    """The tables that `records` make, whatever order they come in; struck records are not among them."""
    ordered = effective(sorted(records, key=lambda r: (r.method, r.seed, r.run_id, r.run_key)))
    groups: dict[Conditions, list[Record]] = defaultdict(list)
    for record in ordered:
        if record.outcome.status == "ok":
            groups[conditions(record)].append(record)
    for record in ordered:
        if record.outcome.status == "failed":
            groups[_where_it_failed(record, groups)].append(record)
    return [_section(key, groups[key], sums, primary, tiers) for key in sorted(groups)]


def _where_it_failed(record: Record, groups: dict[Conditions, list[Record]]) -> Conditions:
    """A failed run may have ended before it knew its metrics or digests; it joins the closest table."""
    own = conditions(record)
    alike = [known for known in groups if known[:6] == own[:6]]
    return max(alike, key=lambda known: (known[:10] == own[:10], known), default=own)


def _section(key: Conditions, records: Sequence[Record], sums: SumsOf, primary: str, tiers: bool) -> Section:
    reported = {name for record in records for name in record.metrics}
    metrics = sorted(reported, key=lambda name: (name != primary, natural(name)))
    primary = metrics[0] if metrics else primary
    rows = _complete(_rows(records))
    rows.sort(key=lambda row: (-_mean(row, primary), row.method, row.numerics, row.variant))
    above = [row for row in rows if not row.missing and row.on_track]
    judged, comparisons = _against_bases(above, primary, sums)
    return Section(
        conditions=key,
        primary=primary,
        metrics=tuple(metrics),
        rows=tuple(_tiers(judged, primary) if tiers else judged),
        off_track=tuple(row for row in rows if not row.missing and not row.on_track),
        incomplete=tuple(row for row in rows if row.missing),
        comparisons=comparisons,
    )


def _rows(records: Sequence[Record]) -> list[Row]:
    """Rows without verdicts. `records` come in order of seed, then of run id, so a newer run replaces."""
    recipes: dict[tuple[str, str], dict[str, dict[int, Record]]] = defaultdict(lambda: defaultdict(dict))
    failed: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for record in records:
        who = (record.method, record.numerics)
        if record.outcome.status == "ok":
            recipes[who][variant(record)][record.seed] = record
        else:
            failed[who][record.seed] = record
    rows = []
    for who in sorted({*recipes, *failed}):
        known = recipes[who] or {"": {}}
        done = {seed for by_seed in known.values() for seed in by_seed}
        failures = tuple(record for seed, record in sorted(failed[who].items()) if seed not in done)
        newest = max(
            known, key=lambda name: (max((r.run_id for r in known[name].values()), default=""), name)
        )
        for name, by_seed in known.items():
            rows.append(
                Row(
                    method=who[0],
                    numerics=who[1],
                    variant=name if len(known) > 1 else "",
                    records=tuple(by_seed[seed] for seed in sorted(by_seed)),
                    failures=failures if name == newest else (),
                )
            )
    return rows


def _complete(rows: list[Row]) -> list[Row]:
    """The rows, each incomplete one saying what is missing against those with the most seeds."""
    most = max((len(row.records) for row in rows), default=0)
    expected = {seed for row in rows if len(row.records) == most for seed in row.seeds}
    marked = []
    for row in rows:
        failed = [f"seed {r.seed} failed ({r.outcome.kind or 'no kind'})" for r in row.failures]
        unseen = sorted(expected - set(row.seeds) - {record.seed for record in row.failures})
        unrun = [f"seeds {', '.join(map(str, unseen))}"] if unseen and len(row.records) < most else []
        marked.append(replace(row, missing="; ".join(unrun + failed)))
    return marked


def _against_bases(rows: list[Row], primary: str, sums: SumsOf) -> tuple[list[Row], int]:
    """The rows with differences to their bases, judged together, and how many comparisons that makes."""
    measured: dict[int, Difference] = {}
    notes = {}
    for place, row in enumerate(rows):
        base = _base_row(row, rows) if row.base else None
        if base is None:
            notes[place] = f"no base {row.base} here" if row.base else ""
            continue
        by_seed = {record.seed: record for record in base.records}
        pairs = [(record, by_seed[record.seed]) for record in row.records if record.seed in by_seed]
        if not pairs or row.summary(primary) is None or base.summary(primary) is None:
            notes[place] = "no seed shared with base"
            continue
        measured[place] = measure(pairs, primary, sums)
    for place, difference in zip(measured, judge(list(measured.values())), strict=True):
        measured[place] = difference
    judged = [
        replace(row, difference=measured[place], verdict=describe(measured[place]))
        if place in measured
        else replace(row, verdict=notes[place])
        for place, row in enumerate(rows)
    ]
    return judged, len(measured)


def describe(difference: Difference) -> str:
    """The verdict in a table's words.

    `undecided (14 seeds)` says how many seeds in all a difference of this size and spread would need.
    """
    if difference.verdict != "undecided":
        return difference.verdict
    return f"undecided ({'>100' if difference.seeds_needed is None else difference.seeds_needed} seeds)"


def _base_row(row: Row, rows: list[Row]) -> Row | None:
    """The row of the named base on the same numerics; a short id means the same distribution first."""
    own = row.method.partition(":")[0]
    named = [
        other
        for other in rows
        if other is not row
        and other.numerics == row.numerics
        and row.base in (other.method, other.method.rpartition(":")[2])
    ]
    named.sort(key=lambda o: (o.method.startswith(own + ":"), max(r.run_id for r in o.records)))
    return named[-1] if named else None


def _tiers(rows: list[Row], primary: str) -> list[Row]:
    """Number the rows: a tier ends before the first row whose interval lies below that of the tier's head."""
    tier, floor, marked = 0, float("inf"), []
    for row in rows:
        summary = row.summary(primary)
        if summary is not None:
            half = summary.half_width or 0.0
            if summary.mean + half < floor:
                tier, floor = tier + 1, summary.mean - half
            row = replace(row, tier=tier)
        marked.append(row)
    return marked


def _mean(row: Row, metric: str) -> float:
    summary = row.summary(metric)
    return float("-inf") if summary is None else summary.mean
