"""Where a record lies: which board, which file. Names are made of ids, never of user text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

from dmlbench.errors import ResultsError
from dmlbench.spec.model import ID_PATTERN
from dmlbench.spec.record import Record

PREVIEW = "preview"
RETRACTIONS = "retractions.jsonl"

#: Says which protocols are frozen: their ids, or a test of the whole record (e.g. of its digests).
Frozen = Collection[str] | Callable[[Record], bool]

_METHOD = re.compile(rf"(?:{ID_PATTERN}:)?{ID_PATTERN}(?:@[0-9a-f]{{8}})?")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,127}")


def is_ranked(record: Record, frozen: Frozen) -> bool:
    """Whether the record may stand in a ranked table.

    Ranked are test scores of the `ranked` profile under a frozen protocol, by a method that a distribution
    names. Everything else is a preview: drafts, `local/…` protocols, `smoke` and `quick`, validation scores,
    ad-hoc recipes (`ID@8-hex`) and methods without a distribution.
    """
    named = ":" in record.method and "@" not in record.method and not record.method.startswith("local:")
    official = not record.protocol.startswith("local/")
    known = frozen(record) if callable(frozen) else record.protocol in frozen
    return named and official and known and record.profile == "ranked" and record.scored == "test"


def board(root: Path, record: Record, *, frozen: Frozen) -> Path:
    """The folder of the table that `record` belongs to, below `root`."""
    return (root if is_ranked(record, frozen) else root / PREVIEW) / tail(record)


def tail(record: Record) -> Path:
    """`<protocol>/<task>/<track>`: the end of a board's path."""
    return Path(record.protocol) / record.task / record.track


def is_preview(folder: Path, record: Record) -> bool:
    """Whether the board `folder`, which holds `record`, lies below `preview/`."""
    parents = folder.resolve().parents
    return parents[len(tail(record).parts) - 1].name == PREVIEW


def records_file(folder: Path, method: str) -> Path:
    """The file of a method's records on the board `folder`.

    >>> records_file(Path("b"), "dmlbench:multi-similarity").as_posix()
    'b/records/dmlbench__multi-similarity.jsonl'
    """
    if not _METHOD.fullmatch(method):
        raise ResultsError(
            f"{method!r} is no method id, so no file can be named after it",
            way_out="a method id is `distribution:id`, perhaps with @ and 8 hex digits",
        )
    return folder / "records" / (method.replace(":", "__") + ".jsonl")


def classes_file(records: Path, run_id: str) -> Path:
    """The per-class sums of one run, beside the records file it belongs to.

    >>> classes_file(Path("records/acme__x.jsonl"), "20260102T030405Z-0a1b2c").as_posix()
    'records/acme__x.classes/20260102T030405Z-0a1b2c.json.gz'
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ResultsError(f"{run_id!r} is no run id, so no file can be named after it", place=records)
    return records.with_suffix(".classes") / (run_id.replace(":", "__") + ".json.gz")
