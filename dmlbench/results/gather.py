"""Finding records: on leaderboards (`records/*.jsonl`) and in run folders (`record.<scored>.json`)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmlbench.errors import ResultsError
from dmlbench.results import classes as class_files
from dmlbench.results.layout import RETRACTIONS, classes_file
from dmlbench.results.line import decode
from dmlbench.results.retractions import read_retractions
from dmlbench.results.store import read
from dmlbench.spec.record import Record


@dataclass(frozen=True)
class Entry:
    """A record, where it was read, and where its per-class sums lie if it has any."""

    record: Record
    source: Path
    classes: Path

    def sums(self) -> class_files.ClassSums | None:
        """The per-class sums, checked against the record's digest; None when the record names none."""
        return None if self.record.classes is None else class_files.read(self.classes, self.record.classes)


def sums_of(entries: Iterable[Entry]) -> Callable[[Record], class_files.ClassSums | None]:
    """How `compare` gets the per-class sums of these entries' records; each file is read once."""
    by_run = {(entry.record.run_id, entry.record.scored): entry for entry in entries}
    read_once = functools.cache(lambda key: by_run[key].sums())
    return lambda record: read_once((record.run_id, record.scored))


def run_entries(place: Path) -> list[Entry]:
    """The records in run folders at or below `place`; folders whose name starts with a dot are left out."""
    entries = []
    for folder, names in _walk(place):
        for name in names:
            if name.startswith("record.") and name.endswith(".json"):
                path = folder / name
                record = decode(path.read_bytes(), place=path)
                if name != f"record.{record.scored}.json":
                    raise ResultsError(
                        f"the file's name does not say what was scored: {record.scored}", place=path
                    )
                entries.append(Entry(record, path, folder / f"classes.{record.scored}.json.gz"))
    return entries


def board_entries(place: Path) -> list[Entry]:
    """The records on boards at or below `place`, struck ones too."""
    entries = []
    for folder, names in _walk(place):
        for path in (folder / name for name in names if folder.name == "records" and name.endswith(".jsonl")):
            entries += [Entry(record, path, classes_file(path, record.run_id)) for record in read(path)]
    return entries


def gather(places: Iterable[Path]) -> list[Entry]:
    """Every ok record at or below `places`, one for each (run_key, scored); earlier places win.

    A run that any board among the places has struck is left out, wherever its record lies.
    """
    places = list(places)
    boards = [folder for place in places for folder, names in _walk(place) if RETRACTIONS in names]
    struck = {key for folder in boards for key in read_retractions(folder)}
    found: dict[tuple[str, str], Entry] = {}
    for place in places:
        for entry in [*board_entries(place), *run_entries(place)]:
            if entry.record.outcome.status == "ok" and entry.record.run_key not in struck:
                found.setdefault((entry.record.run_key, entry.record.scored), entry)
    return list(found.values())


def _walk(place: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with their sorted file names, in sorted order; `runs/.old` and its like are skipped."""
    for folder, below, names in os.walk(place):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), sorted(names)
