"""Appending and reading: nothing is lost, nothing is half there."""

import json
import subprocess
import sys

import pytest

from dmlbench.errors import ResultsError
from dmlbench.results import appending
from dmlbench.results.layout import classes_file
from dmlbench.results.line import encode
from dmlbench.results.retractions import Retraction, read_retractions, retract
from dmlbench.results.store import add, append, effective, find, read
from dmlbench.spec.record import Outcome

FAILED = Outcome(status="failed", kind="RunError", message="NaN")


def test_adding_twice_changes_nothing(tmp_path, record):
    path = tmp_path / "records" / "dmlbench__alpha.jsonl"
    assert append(path, record()) == "added"
    before = path.read_bytes()
    assert before == encode(record())
    assert append(path, record(run_id="later")) == "present"
    assert path.read_bytes() == before


def test_other_numbers_of_one_run_are_noticed_and_not_added(tmp_path, record):
    path = tmp_path / "x.jsonl"
    append(path, record(score=0.5))
    assert append(path, record(score=0.6, run_id="later")) == "differs"
    assert [one.metrics["map_at_r"] for one in read(path)] == [0.5]


def test_an_ok_record_is_added_after_a_failure_and_wins(tmp_path, record):
    path = tmp_path / "x.jsonl"
    failure = record(outcome=FAILED, metrics={})
    assert append(path, failure) == "added"
    assert find(tmp_path, failure.run_key, "validation") is None
    assert append(path, record(run_id="later")) == "added"
    assert append(path, failure) == "present"
    assert len(read(path)) == 2
    assert [one.run_id for one in effective(read(path))] == ["later"]
    assert [one.run_id for one in effective(reversed(read(path)))] == ["later"]


def test_validation_and_test_scores_of_one_run_both_stand(tmp_path, record):
    path = tmp_path / "x.jsonl"
    assert append(path, record()) == "added"
    assert append(path, record(scored="test")) == "added"


def test_per_class_sums_are_stored_beside_and_must_be_the_records_own(tmp_path, record, with_sums, sums):
    one, own = with_sums(record)
    path = tmp_path / "records" / "dmlbench__alpha.jsonl"
    for wrong in (None, sums(0.1)):
        with pytest.raises(ResultsError, match="not the digest"):
            append(path, one, sums=wrong)
    assert not path.exists()
    append(path, one, sums=own)
    assert classes_file(path, one.run_id).exists()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from conftest import make_record
from dmlbench.results.store import append
for seed in range(40):
    append(Path(sys.argv[1]), make_record(seed=1000 * int(sys.argv[2]) + seed))
"""


def test_two_processes_that_append_at_once_lose_nothing(tmp_path, request):
    path = tmp_path / "records" / "x.jsonl"
    here = str(request.path.parent)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number), here]) for number in (1, 2)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sorted(one.seed for one in read(path)) == [*range(1000, 1040), *range(2000, 2040)]


def test_a_torn_last_line_is_kept_aside_by_the_next_append(tmp_path, record):
    path = tmp_path / "x.jsonl"
    append(path, record(seed=0))
    with path.open("ab") as file:
        file.write(b'{"torn')
    assert [one.seed for one in read(path)] == [0]
    append(path, record(seed=1))
    with path.open("ab") as file:
        file.write(b"again")
    append(path, record(seed=2))
    assert path.read_bytes() == b"".join(encode(record(seed=seed)) for seed in range(3))
    assert (tmp_path / "x.jsonl.torn").read_bytes() == b'{"torn\nagain\n'


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import make_record
from dmlbench.errors import ResultsError
from dmlbench.results.store import append
path = Path(sys.argv[1])
append(path, make_record(seed=0))
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
try:
    append(path, make_record(seed=1))
except ResultsError as error:
    print(error)
"""


def test_a_full_disk_leaves_no_half_line_and_names_the_file(tmp_path, record, request):
    path = tmp_path / "x.jsonl"
    script = [sys.executable, "-c", FULL_DISK, str(path), str(request.path.parent)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot append a record" in done.stdout
    assert str(path) in done.stdout
    assert path.read_bytes() == encode(record(seed=0))


def test_a_line_that_reads_back_differently_is_taken_back(tmp_path, record, monkeypatch):
    path = tmp_path / "x.jsonl"
    append(path, record(seed=0))
    monkeypatch.setattr(appending, "_write", lambda file, data: file.write(data[:-1] + b"#"))
    with pytest.raises(ResultsError, match="read back"):
        append(path, record(seed=1))
    assert path.read_bytes() == encode(record(seed=0))


def test_a_lock_that_is_never_released_is_an_error_and_not_a_hang(tmp_path, record, monkeypatch):
    monkeypatch.setattr(appending, "LOCK_SECONDS", 0.05)
    script = (
        "import sys, time; from pathlib import Path; from dmlbench.results.appending import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    path = tmp_path / "x.jsonl"
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResultsError, match="held the lock"):
            append(path, record())
    finally:
        holder.kill()
        holder.communicate()


def test_a_broken_line_is_named_by_file_and_number(tmp_path, record):
    path = tmp_path / "x.jsonl"
    path.write_bytes(encode(record()) + b"{}\n")
    with pytest.raises(ResultsError) as caught:
        read(path)
    assert caught.value.place == f"{path}, line 2"


def test_find_looks_in_ranked_and_preview_boards(tmp_path, record, ranked):
    frozen = {"zero-shot/v1"}
    for seed in range(3):
        add(tmp_path, record(seed=seed), frozen=frozen)
        add(tmp_path, ranked(seed=seed), frozen=frozen)
    for one in (record(seed=1), ranked(seed=2)):
        assert find(tmp_path, one.run_key, one.scored) == one
    assert find(tmp_path, record(seed=1).run_key, "test") is None
    assert find(tmp_path, "0" * 32, "test") is None
    assert find(tmp_path / "nowhere", "0" * 32, "test") is None


def test_a_struck_run_does_not_count_as_done(tmp_path, record):
    one = record()
    add(tmp_path, one, frozen=())
    folder = tmp_path / "preview/zero-shot/v1/emoji/emoji-conv4-32px-d128"
    retract(folder, Retraction(run_key=one.run_key, reason="wrong labels", date="2026-03-01"))
    assert find(tmp_path, one.run_key, one.scored) is None
    assert read_retractions(folder)[one.run_key].reason == "wrong labels"


@pytest.mark.parametrize(
    "changes", [{"date": "yesterday"}, {"date": "20260301"}, {"reason": ""}, {"run_key": "x"}, {"by": "me"}]
)
def test_a_retraction_must_say_what_why_and_when(tmp_path, changes):
    line = {"run_key": "0" * 32, "reason": "why", "date": "2026-03-01", **changes}
    (tmp_path / "retractions.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ResultsError, match=next(iter(changes))) as caught:
        read_retractions(tmp_path)
    assert caught.value.place.endswith("retractions.jsonl, line 1")
