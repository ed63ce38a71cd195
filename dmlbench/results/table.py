"""A board's tables as Markdown and CSV: a pure function of the records, the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dmlbench.results.compare import SumsOf
from dmlbench.results.markdown import to_markdown
from dmlbench.results.retractions import Retraction
from dmlbench.results.rows import sections
from dmlbench.results.table_csv import to_csv
from dmlbench.spec.record import Record


@dataclass(frozen=True)
class Tables:
    """The text of `table.md` and of `table.csv`."""

    markdown: str
    csv: str


def render(
    records: Iterable[Record],
    *,
    sums: SumsOf,
    preview: bool,
    struck: Mapping[str, Retraction] | None = None,
    primary: str = "map_at_r",
) -> Tables:
    """The tables of one board, from at least one record in any order.

    `struck` maps run keys to retractions: those rows stand below the line. A preview says so and has no
    tiers. Where `primary` is not reported, the first metric by name sorts the table.
    """
    struck = struck or {}
    every = list(records)
    found = sections(
        [record for record in every if record.run_key not in struck],
        sums=sums,
        primary=primary,
        tiers=not preview,
    )
    lines = sorted((record for record in every if record.run_key in struck), key=_struck_order)
    return Tables(
        markdown=to_markdown(every, found, lines, struck, preview),
        csv=to_csv(found, lines, struck, preview),
    )


def _struck_order(record: Record) -> tuple[str, int, str, str, str]:
    return (record.method, record.seed, record.profile, record.scored, record.run_id)
