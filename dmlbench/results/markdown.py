"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tabulate import tabulate

from dmlbench.results.conditions import Conditions
from dmlbench.results.retractions import Retraction
from dmlbench.results.rows import Row, Section
from dmlbench.spec.record import Record

#: The licences of the drawings that data sets are made of ask for this line wherever results are shown.
ATTRIBUTION = "Drawings: see NOTICE"

_LEGEND = (
    "Metrics: mean ± half of the 95 % t interval over seeds. To base: the difference in {primary}, paired by "
    "seed; classes: its 95 % interval over resampled classes; p: exact sign-flip test over seeds, "
    "Holm-adjusted over the {comparisons} declared here. Real: p < 0.05 and the interval leaves 0 out. Under "
    "6 paired seeds there is no verdict."
)


def to_markdown(
    every: Sequence[Record],
    found: Sequence[Section],
    lines: Sequence[Record],
    struck: Mapping[str, Retraction],
    preview: bool,
) -> str:
    """The text of `table.md`: `every` record of the board, its sections, and the struck records `lines`."""
    one = min(every, key=lambda record: (record.protocol, record.task, record.track))
    title = f"{one.protocol}, {one.task}, {one.track}"
    parts = [f"# PREVIEW: {title}" if preview else f"# {title}"]
    if preview:
        parts.append("These numbers are previews: they carry no rank and enter no ranked table.")
    digests = len({section.conditions[:6] for section in found}) < len(found)
    for section in found:
        parts.append(_heading(section.conditions, digests))
        parts += _section(section, preview)
    if lines:
        parts.append("## Struck")
        parts.append(
            _grid(
                ("method", "seed", "profile", "scored", "run", "struck on", "reason"),
                [
                    (
                        f"~~{record.method}~~",
                        str(record.seed),
                        record.profile,
                        record.scored,
                        record.run_key[:8],
                        struck[record.run_key].date,
                        struck[record.run_key].reason,
                    )
                    for record in lines
                ],
            )
        )
    return "\n\n".join([*parts, ATTRIBUTION]) + "\n"


def _heading(key: Conditions, digests: bool) -> str:
    heading = f"## {key.protocol}, {key.task}, {key.track}: {key.profile}, scored on {key.scored}"
    heading += f", {key.budget:,} images"
    if digests:
        short = [text.removeprefix("sha256:")[:8] or "none" for text in key[6:10]]
        names = ("protocol", "task", "track", "data")
        versions = ", ".join(f"{name}/{number}" for name, number in key.metric_versions)
        told = ", ".join(f"{n} {d}" for n, d in zip(names, short, strict=True))
        heading += f" ({told}; {versions or 'no metric versions'})"
    return heading


def _section(section: Section, preview: bool) -> list[str]:
    tier = () if preview else ("tier",)
    every = (*section.rows, *section.off_track, *section.incomplete)
    shown = {**_FACTS, **{name: told for name, told in _SOMETIMES.items() if any(map(told, every))}}
    facts = tuple(shown)
    head = (*tier, "method", "seeds", *section.metrics, "to base", "classes", "p", "verdict", *facts)
    parts = []
    if section.rows:
        grid = [
            (
                *(("" if row.tier is None else str(row.tier),) if tier else ()),
                *_scores(row, section),
                *_against(row),
                *_facts(row, shown),
            )
            for row in section.rows
        ]
        parts += [_grid(head, grid)]
        legend = _LEGEND.format(primary=section.primary, comparisons=section.comparisons)
        tiers = (
            "" if preview else " Tiers are display only: rows whose intervals reach that of the tier's first."
        )
        parts.append(legend + tiers)
    below = ("method", "seeds", *section.metrics)
    if section.off_track:
        parts += [
            "### Off-track",
            _grid(
                (*below, *facts),
                [_scores(row, section) + _facts(row, shown) for row in section.off_track],
            ),
        ]
    if section.incomplete:
        rows = [(*_scores(row, section), row.missing, *_facts(row, shown)) for row in section.incomplete]
        parts += ["### Incomplete", _grid((*below, "missing", *facts), rows)]
    return parts


def _scores(row: Row, section: Section) -> tuple[str, ...]:
    told = (*((f"recipe {row.variant}",) if row.variant else ()), *row.marks)
    name = f"{row.method} ({', '.join(told)})" if told else row.method
    return (name, str(len(row.records)), *(_score(row, metric) for metric in section.metrics))


def _score(row: Row, metric: str) -> str:
    summary = row.summary(metric)
    if summary is None:
        return ""
    spread = "" if summary.half_width is None else f" ± {summary.half_width:.4f}"
    return f"{summary.mean:z.4f}{spread}"


def _against(row: Row) -> tuple[str, ...]:
    one = row.difference
    if one is None:
        return ("", "", "", row.verdict)
    spread = "" if one.half_width is None else f" ± {one.half_width:.4f}"
    classes = "" if one.interval is None else "[{:+z.4f}, {:+z.4f}]".format(*one.interval)
    return (f"{one.difference:+z.4f}{spread}", classes, f"{one.p_adjusted:.4f}", row.verdict)


def _facts(row: Row, shown: Mapping[str, Callable[[Row], str]]) -> tuple[str, ...]:
    return tuple(told(row) for told in shown.values())


def _of(name: str) -> Callable[[Row], str]:
    """A number of the runs, from the smallest to the largest."""
    return lambda row: _range([getattr(record, name) for record in row.records or row.failures])


def _costs(row: Row) -> str:
    return ", ".join(f"{name.replace('_per_step', '')} {value:,.1f}" for name, value in row.costs.items())


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


_FACTS: dict[str, Callable[[Row], str]] = {
    "budget": _of("budget"),
    "images seen": _of("images_seen"),
    "extra forwards": _of("extra_forwards"),
    "dimension": _of("dimension"),
    "parameters at inference": _of("inference_parameters"),
    "track": lambda row: "on" if row.on_track else "off-track",
    "numerics": lambda row: row.numerics,
    "claim": lambda row: ", ".join(sorted({record.claim for record in row.records or row.failures})),
}
_SOMETIMES: dict[str, Callable[[Row], str]] = {
    "a step": _costs,
    "parameters of the teacher": lambda row: _of("teacher_parameters")(row) if _taught(row) else "",
}
"""Where a row of the table has something to say."""


def _taught(row: Row) -> bool:
    return any(record.teacher_parameters for record in row.records)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; what could end a cell or a line is defused."""
    safe = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    text: str = tabulate(safe, list(head), tablefmt="pipe", disable_numparse=True, stralign=None)
    return text
