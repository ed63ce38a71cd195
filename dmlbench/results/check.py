"""Whether leaderboards are what they claim: valid records in the right place, and tables made from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dmlbench.errors import ResultsError
from dmlbench.results import classes
from dmlbench.results.boards import PRIMARY, TABLES, Primary, find_boards, rendered
from dmlbench.results.layout import (
    RETRACTIONS,
    Frozen,
    classes_file,
    is_preview,
    is_ranked,
    records_file,
    tail,
)
from dmlbench.results.line import encode
from dmlbench.results.retractions import read_retractions
from dmlbench.results.store import scan
from dmlbench.spec.record import Record

#: A metric and the mean of its per-class sums differ by rounding only.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where: a file, perhaps with a line."""

    place: str
    message: str


@dataclass(frozen=True)
class Report:
    """What was looked at, and everything that is wrong with it."""

    boards: int
    records: int
    struck: int
    problems: tuple[Problem, ...]


def check(root: Path, *, frozen: Frozen, primary: Primary = PRIMARY) -> Report:
    """Look at every board at or below `root`. Nothing is written; problems are returned, not raised."""
    problems: list[Problem] = []
    seen: dict[tuple[str, str], str] = {}
    records = struck = 0
    boards = find_boards(root)
    for folder in boards:
        before = len(problems)
        board: list[Record] = []
        for path in sorted((folder / "records").glob("*.jsonl")):
            for place, record in _whole_lines(path, problems):
                board.append(record)
                problems += [Problem(place, text) for text in _wrong_with(record, path, frozen)]
                key = (record.run_key, record.scored)
                if record.outcome.status == "ok" and seen.setdefault(key, place) != place:
                    text = f"run {record.run_key}, scored on {record.scored}, stands in {seen[key]} already"
                    problems.append(Problem(place, text))
        records += len(board)
        struck += _retractions(folder, board, problems)
        if board and len(problems) == before:
            problems += _stale(folder, primary)
    for name in TABLES:
        orphans = {path.parent for path in root.rglob(name)} - set(boards)
        problems += [Problem(str(folder / name), "a table without records") for folder in sorted(orphans)]
    return Report(len(boards), records, struck, tuple(problems))


def _whole_lines(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Record]]:
    """Place and record of each valid line; what is not one becomes a problem."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        text = "the last line is torn: it has no end; the next `leaderboard add` to this file moves it away"
        problems.append(Problem(str(path), text))
    for number, line, found in scan(path):
        place = f"{path}, line {number}"
        if isinstance(found, ResultsError):
            problems.append(Problem(place, found.message + (f" (near: {found.near})" if found.near else "")))
            continue
        if encode(found) != line:
            problems.append(
                Problem(place, "not as dmlbench writes it (order, spaces or digits): edited by hand?")
            )
        yield place, found


def _wrong_with(record: Record, path: Path, frozen: Frozen) -> Iterator[str]:
    """What a valid record contradicts: its place, its rank, its per-class sums."""
    folder, end = path.parent.parent, tail(record)
    if folder.resolve().parts[-len(end.parts) :] != end.parts:
        yield f"the record belongs to {end.as_posix()}"
    elif not is_preview(folder, record) and not is_ranked(record, frozen):
        kind = f"{record.method}, {record.protocol}, {record.profile}, scored on {record.scored}"
        yield f"not a ranked record, so it belongs below preview/: {kind}"
    try:
        if records_file(folder, record.method) != path:
            yield f"the record is of {record.method}, the file is not"
        if record.classes is not None:
            yield from _unlike_sums(record, classes.read(classes_file(path, record.run_id), record.classes))
    except ResultsError as error:
        yield f"run {record.run_id}: {error.message}" + (f" ({error.place})" if error.place else "")


def _unlike_sums(record: Record, sums: classes.ClassSums) -> Iterator[str]:
    for metric in sums.sums:
        told, mean = record.metrics.get(metric), sums.mean(metric)
        if told is None or mean is None or abs(told - mean) > TOLERANCE:
            yield f"{metric} is {told} in the record, but {mean} from its per-class sums"


def _retractions(folder: Path, board: list[Record], problems: list[Problem]) -> int:
    """How many records of the board are struck; retractions that strike nothing are problems."""
    try:
        struck = read_retractions(folder)
    except ResultsError as error:
        problems.append(Problem(error.place or str(folder / RETRACTIONS), error.message))
        return 0
    keys = {record.run_key for record in board}
    for key in sorted(struck.keys() - keys):
        problems.append(Problem(str(folder / RETRACTIONS), f"run {key} is struck, but is not on this board"))
    return sum(record.run_key in struck for record in board)


def _stale(folder: Path, primary: Primary) -> Iterator[Problem]:
    """Tables that are not what their records render to, byte for byte."""
    try:
        expected = rendered(folder, primary=primary) or {}
    except ResultsError as error:
        yield Problem(error.place or str(folder), error.message)
        return
    for name, text in expected.items():
        path = folder / name
        if not path.exists():
            yield Problem(str(path), "the table is missing: dmlbench leaderboard render")
        elif (found := path.read_bytes()) != (wanted := text.encode()):
            pairs = zip(found.split(b"\n"), wanted.split(b"\n"), strict=False)
            line = next((n for n, (a, b) in enumerate(pairs, start=1) if a != b), "the last")
            yield Problem(
                str(path), f"not what its records render to, from line {line}: dmlbench leaderboard render"
            )
