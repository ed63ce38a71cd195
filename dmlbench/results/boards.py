"""Boards on disk: finding them, reading them, rendering their tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dmlbench.files import write_text
from dmlbench.results import table
from dmlbench.results.gather import board_entries, sums_of
from dmlbench.results.layout import is_preview
from dmlbench.results.retractions import read_retractions

#: What the field reports first; a protocol without it is sorted by its first metric by name.
PRIMARY = "map_at_r"
#: The metric that sorts a table, or what finds it by the id of the board's protocol.
Primary = str | Callable[[str], str]

TABLES = ("table.md", "table.csv")


def find_boards(root: Path) -> list[Path]:
    """Every folder at or below `root` that holds `records/*.jsonl`, in order of path."""
    return sorted({path.parent.parent for path in root.rglob("records/*.jsonl")})


def rendered(folder: Path, *, primary: Primary = PRIMARY) -> dict[str, str] | None:
    """File name and text of each table of the board `folder`; None when it holds no record.

    Per-class sums are read only where a verdict needs them; damaged ones are a `ResultsError`.
    """
    entries = board_entries(folder)
    if not entries:
        return None
    records = [entry.record for entry in entries]
    tables = table.render(
        records,
        sums=sums_of(entries),
        preview=is_preview(folder, records[0]),
        struck=read_retractions(folder),
        primary=primary if isinstance(primary, str) else primary(records[0].protocol),
    )
    return dict(zip(TABLES, (tables.markdown, tables.csv), strict=True))


def render_boards(root: Path, *, primary: Primary = PRIMARY) -> list[Path]:
    """Write the tables of every board at or below `root`; returns the files written."""
    written = []
    for folder in find_boards(root):
        for name, text in (rendered(folder, primary=primary) or {}).items():
            write_text(folder / name, text)
            written.append(folder / name)
    return written
