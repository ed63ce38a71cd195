"""Finding records in run folders and on boards."""

import pytest

from dmlbench.errors import ResultsError
from dmlbench.results import classes
from dmlbench.results.gather import gather, run_entries, sums_of
from dmlbench.results.line import encode
from dmlbench.results.retractions import Retraction, retract
from dmlbench.results.store import add
from dmlbench.spec.record import Outcome


def put(runs, record, sums=None):
    folder = runs / record.run_key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"record.{record.scored}.json").write_bytes(encode(record))
    if sums is not None:
        classes.write(folder / f"classes.{record.scored}.json.gz", sums)


def test_runs_and_boards_are_read_and_a_run_in_both_counts_once(tmp_path, record, with_sums):
    runs, boards = tmp_path / "runs", tmp_path / "leaderboards"
    one, own = with_sums(record, seed=0)
    put(runs, one, own)
    put(runs, record(seed=1))
    add(boards, one, frozen=(), sums=own)
    add(boards, record(seed=2), frozen=())
    entries = gather([boards, runs])
    assert sorted(entry.record.seed for entry in entries) == [0, 1, 2]
    for places in ([boards, runs], [runs, boards]):
        found = gather(places)
        assert sums_of(found)(one) == own
        assert sums_of(found)(record(seed=1)) is None


def test_failures_old_runs_and_struck_runs_are_left_out(tmp_path, record):
    runs, boards = tmp_path / "runs", tmp_path / "leaderboards"
    put(runs, record(seed=0, outcome=Outcome(status="failed"), metrics={}))
    put(runs / ".old", record(seed=1))
    put(runs, record(seed=2))
    add(boards, record(seed=2), frozen=())
    folder = boards / "preview/zero-shot/v1/emoji/emoji-conv4-32px-d128"
    retract(folder, Retraction(run_key=record(seed=2).run_key, reason="why", date="2026-03-01"))
    assert gather([runs, boards]) == []


def test_a_record_under_the_wrong_name_or_with_sums_gone_is_an_error(tmp_path, record, with_sums):
    one, _ = with_sums(record)
    put(tmp_path, one)
    entry = run_entries(tmp_path)[0]
    with pytest.raises(ResultsError, match="cannot read the per-class sums"):
        entry.sums()
    entry.source.rename(entry.source.with_name("record.test.json"))
    with pytest.raises(ResultsError, match="name does not say"):
        run_entries(tmp_path)
