"""Tables as CSV, for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from dmlbench.results.conditions import Conditions
from dmlbench.results.retractions import Retraction
from dmlbench.results.rows import Row, Section
from dmlbench.spec.record import Record


def to_csv(
    found: Sequence[Section], lines: Sequence[Record], struck: Mapping[str, Retraction], preview: bool
) -> str:
    """The text of `table.csv`: a line a row of every section, then a line a struck record.

    Six digits; `seeds` are separated by spaces; a cell that does not apply is empty.
    """
    metrics = list(dict.fromkeys(metric for section in found for metric in section.metrics))
    rows = [
        _csv_row(part, row, section, preview)
        for section in found
        for part, rows in (
            ("table", section.rows),
            ("off-track", section.off_track),
            ("incomplete", section.incomplete),
        )
        for row in rows
    ]
    for record in lines:
        why = struck[record.run_key]
        kept = ("protocol", "task", "track", "profile", "scored", "budget", "method", "base", "numerics")
        row = {name: str(getattr(record, name) or "") for name in kept}
        row |= {"part": "struck", "preview": _yes(preview), "seeds": str(record.seed)}
        rows.append(row | {"note": f"{why.date}: {why.reason}"})
    spread = [name for metric in metrics for name in (metric, f"{metric}_half_width")]
    text = io.StringIO()
    taught = ["teacher_parameters"] if any("teacher_parameters" in row for row in rows) else []
    columns = [*_BEFORE, *spread, *_AFTER, *taught]
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_BEFORE = [
    *("part", "preview", "protocol", "task", "track", "profile", "scored", "budget"),
    *("tier", "method", "recipe", "base", "numerics", "seeds", "primary"),
]
_AFTER = [
    *(
        "difference",
        "difference_half_width",
        "classes_low",
        "classes_high",
        "p_holm",
        "verdict",
        "seeds_needed",
    ),
    *(
        "images_seen",
        "extra_forwards",
        "dimension",
        "inference_parameters",
        "on_track",
        "claim",
        "marks",
        "costs",
        "note",
    ),
]


def _csv_row(part: str, row: Row, section: Section, preview: bool) -> dict[str, str]:
    runs = row.records or row.failures
    cells = {name: str(getattr(section.conditions, name)) for name in Conditions._fields[:6]}
    cells |= {
        "part": part,
        "preview": _yes(preview),
        "tier": "" if row.tier is None else str(row.tier),
        "method": row.method,
        "recipe": row.variant,
        "base": row.base,
        "numerics": row.numerics,
        "seeds": " ".join(map(str, row.seeds)),
        "primary": section.primary,
        "verdict": row.difference.verdict if row.difference else row.verdict,
        "images_seen": str(max(record.images_seen for record in runs)),
        "extra_forwards": str(max(record.extra_forwards for record in runs)),
        "dimension": str(max(record.dimension for record in runs)),
        "inference_parameters": str(max(record.inference_parameters for record in runs)),
        "on_track": _yes(row.on_track),
        "claim": " ".join(sorted({record.claim for record in runs})),
        "marks": " ".join(row.marks),
        "costs": " ".join(f"{name}={value:.6g}" for name, value in row.costs.items()),
        "note": row.missing,
    }
    if parameters := max(record.teacher_parameters for record in runs):
        cells["teacher_parameters"] = str(parameters)
    for metric in section.metrics:
        if summary := row.summary(metric):
            cells[metric] = _digits(summary.mean)
            cells[f"{metric}_half_width"] = _digits(summary.half_width)
    if one := row.difference:
        low, high = one.interval or (None, None)
        cells |= {
            "difference": _digits(one.difference),
            "difference_half_width": _digits(one.half_width),
            "classes_low": _digits(low),
            "classes_high": _digits(high),
            "p_holm": _digits(one.p_adjusted),
        }
        if one.verdict == "undecided":
            cells["seeds_needed"] = ">100" if one.seeds_needed is None else str(one.seeds_needed)
    return cells


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:z.6f}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
