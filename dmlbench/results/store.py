"""The record store: files of one canonical line a run, to which lines are only ever added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from dmlbench.errors import ResultsError
from dmlbench.files import replacing
from dmlbench.results import classes as class_files
from dmlbench.results.appending import append_line, locked
from dmlbench.results.layout import Frozen, board, classes_file, records_file
from dmlbench.results.line import decode, encode
from dmlbench.results.retractions import read_retractions
from dmlbench.spec.record import Record

#: `differs`: the run is there already, with other numbers. Nothing is written then.
Added = Literal["added", "present", "differs"]


def scan(path: Path) -> Iterator[tuple[int, bytes, Record | ResultsError]]:
    """Line number, line and what it says, for each whole line of a records file.

    Bytes after the last newline are no line: another process may be writing them, or a crash tore them, in
    which case the next append moves them away.
    """
    content = path.read_bytes()
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(keepends=True), start=1):
        try:
            yield number, line, decode(line, place=f"{path}, line {number}")
        except ResultsError as error:
            yield number, line, error


def read(path: Path) -> list[Record]:
    """All records of the file at `path`, failures too; the first broken line is the error."""
    records = []
    for _, _, found in scan(path):
        if isinstance(found, ResultsError):
            raise found
        records.append(found)
    return records


def effective(records: Iterable[Record]) -> list[Record]:
    """One record for each (run_key, scored): the first that is ok, else the last failure."""
    best: dict[tuple[str, str], Record] = {}
    for record in records:
        key = (record.run_key, record.scored)
        if key not in best or best[key].outcome.status == "failed":
            best[key] = record
    return list(best.values())


def append(path: Path, record: Record, *, sums: class_files.ClassSums | None = None) -> Added:
    """Add `record` to the records file at `path`, its per-class sums first.

    A run that is there and ok is not added again, so adding is idempotent; a failure stays in the file and
    the ok record of the same run, added later, wins on reading. Safe against other processes that append.
    """
    line = encode(record)
    decode(line, place=f"the record of run {record.run_id}")  # what cannot be read is not written
    if (record.classes is None) != (sums is None) or (sums and class_files.digest(sums) != record.classes):
        raise ResultsError(
            f"run {record.run_id}: the record's `classes` is not the digest of the per-class sums given",
            place=path,
            way_out="take record.*.json and classes.*.json.gz from one run",
        )
    with locked(path):
        for old in read(path) if path.exists() else []:
            if (old.run_key, old.scored) != (record.run_key, record.scored):
                continue
            if old.outcome.status == "ok" or old.run_id == record.run_id:
                same = old.metrics == record.metrics or record.outcome.status == "failed"
                return "present" if same else "differs"
        if sums is not None:
            with replacing(classes_file(path, record.run_id)) as temporary:
                temporary.write_bytes(class_files.pack(sums))
        append_line(path, line)
    return "added"


def add(root: Path, record: Record, *, frozen: Frozen, sums: class_files.ClassSums | None = None) -> Added:
    """Add `record` to the leaderboards below `root`, on the board where it belongs."""
    return append(records_file(board(root, record, frozen=frozen), record.method), record, sums=sums)


def find(root: Path, run_key: str, scored: str) -> Record | None:
    """The committed ok record of a run below `root`, ranked or preview; None when there is none.

    A failure does not count as done, nor does a run that was struck. Only lines that hold the key are parsed:
    thousands of records take milliseconds.
    """
    needle = run_key.encode()
    for path in sorted(root.rglob("records/*.jsonl")):
        content = path.read_bytes()
        if needle not in content or run_key in read_retractions(path.parent.parent):
            continue
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
            if needle in line:
                record = decode(line, place=f"{path}, line {number}")
                if (record.run_key, record.scored, record.outcome.status) == (run_key, scored, "ok"):
                    return record
    return None
