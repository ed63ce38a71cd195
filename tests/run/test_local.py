"""Runs end to end: train, embed and score as processes."""

import json
import os
import re
import subprocess

import pytest
from filelock import FileLock

import dmlbench.run.local
from dmlbench.results.line import decode

SMOKE = ("--profile", "smoke")


def test_a_run_leaves_a_record_that_says_everything(project, records):
    done = records("multi-similarity", *SMOKE)
    assert done.status == 0
    (record,) = done.records
    assert record["outcome"]["status"] == "ok"
    assert (record["method"], record["seed"], record["base"]) == (
        "dmlbench:multi-similarity",
        0,
        "contrastive",
    )
    assert (record["protocol"], record["task"], record["track"]) == ("local/tiny/v1", "tiny", "tiny")
    assert (record["profile"], record["scored"], record["budget"]) == ("smoke", "validation", 640)
    assert list(record["metrics"]) == list(record["last_metrics"]) == ["map_at_r", "recall_at_1"]
    assert record["metric_versions"] == {"map_at_r": 1, "recall_at_1": 1}
    assert record["dimension"] == 16
    assert 600 <= record["images_seen"] <= 640
    assert len(record["validation"]) == 4
    best = max(score for _, score in record["validation"])
    assert record["metrics"]["map_at_r"] == pytest.approx(best)
    assert dict(map(reversed, record["validation"]))[best] == record["selected_images"]
    assert [used["role"] for used in record["components"]] == ["backbone", "main", "sampler", "loss"]
    assert record["components"][0]["settings"] == {"width": 8}
    assert record["components"][3]["settings"] == {"alpha": 2.0, "base": 0.5, "beta": 40.0, "epsilon": 0.1}
    assert set(record["digests"]) == {"protocol", "task", "track", "method", "data"}
    assert set(record["seconds"]) == {"train", "embed", "score"}
    assert record["environment"]["threads"] == "1"
    assert record["peak_memory_mib"] > 0
    assert record["queries"] > 0


def test_a_run_tells_nothing_of_machine_and_user(project, records):
    text = json.dumps(records("multi-similarity", *SMOKE).records)
    assert str(project) not in text
    assert os.uname().nodename not in text


def test_what_is_on_disk_is_what_was_printed(project, records):
    (record,) = records("multi-similarity", *SMOKE).records
    root = project / "runs" / record["run_key"]
    assert decode((root / "record.validation.json").read_bytes(), place="").model_dump(mode="json") == record
    names = {path.name for path in root.iterdir()} - {".lock"}
    assert names == {
        "spec.json",
        "components.json",
        "log.json",
        "trained.json",
        "selected.safetensors",
        "last.safetensors",
        "embeddings.validation.selected.safetensors",
        "embeddings.validation.last.safetensors",
        "embedded.validation.json",
        "scores.validation.json",
        "classes.validation.json.gz",
        "record.validation.json",
    }


def test_the_same_command_again_starts_no_process(project, records, monkeypatch):
    first = records("multi-similarity", *SMOKE)
    monkeypatch.setattr(dmlbench.run.local, "Stage", None)
    again = records("multi-similarity", *SMOKE)
    assert again.records == first.records
    assert "(from its record)" in again.err


def test_the_same_run_twice_in_one_command_is_made_once(project, records):
    done = records("multi-similarity", "dmlbench:multi-similarity", *SMOKE, "--jobs", "2")
    assert done.records[0] == done.records[1]
    assert done.err.count("(from its record)") == 1


@pytest.mark.slow
def test_equal_seeds_give_equal_numbers_and_other_seeds_others(project, records, result):
    one = records("das", *SMOKE, "--seeds", "0-1")
    two = records("das", *SMOKE, "--seeds", "0", "--out", "other")
    key = one.records[0]["run_key"]
    assert key == two.records[0]["run_key"]
    assert result(project / "runs" / key) == result(project / "other" / key)
    assert one.records[0]["metrics"] != one.records[1]["metrics"]


def test_a_stage_done_already_is_not_done_again(project, records):
    (record,) = records("multi-similarity", *SMOKE).records
    root = project / "runs" / record["run_key"]
    (root / "record.validation.json").unlink()
    (root / "scores.validation.json").unlink()
    weights = (root / "last.safetensors").stat().st_mtime_ns
    (again,) = records("multi-similarity", *SMOKE).records
    assert again["metrics"] == record["metrics"]
    assert (root / "last.safetensors").stat().st_mtime_ns == weights


def test_test_classes_are_scored_from_the_same_weights(project, records):
    (record,) = records("multi-similarity", *SMOKE).records
    weights = project / "runs" / record["run_key"] / "selected.safetensors"
    before = weights.stat().st_mtime_ns
    (tested,) = records("multi-similarity", *SMOKE, "--score-test").records
    assert (tested["scored"], tested["run_key"]) == ("test", record["run_key"])
    assert tested["queries"] > record["queries"]
    assert weights.stat().st_mtime_ns == before


def test_fresh_moves_the_earlier_run_aside(project, records):
    (old,) = records("multi-similarity", *SMOKE).records
    (new,) = records("multi-similarity", *SMOKE, "--fresh").records
    (aside,) = (project / "runs" / ".old").iterdir()
    assert aside.name.startswith(old["run_key"])
    assert json.loads((aside / "record.validation.json").read_text())["run_id"] == old["run_id"]
    assert new["run_id"] != old["run_id"]
    assert new["metrics"] == old["metrics"]


def test_fresh_does_not_take_a_run_from_another_process(project, records):
    (old,) = records("multi-similarity", *SMOKE).records
    with FileLock(project / "runs" / old["run_key"] / ".lock"):
        done = records("multi-similarity", *SMOKE, "--fresh")
    assert done.status == 1
    assert "another process is at this run" in done.err
    assert not (project / "runs" / ".old").exists()


def test_a_record_of_another_run_is_not_taken_for_this_one(project, records):
    (record,) = records("multi-similarity", *SMOKE).records
    path = project / "runs" / record["run_key"] / "record.validation.json"
    path.write_text(path.read_text().replace(record["run_key"], "0" * 32))
    done = records("multi-similarity", *SMOKE)
    assert done.status == 1
    assert "the record here is of another run" in done.err


def test_methods_that_do_not_train_are_scored_too(project, records):
    done = records("untrained", "raw-pixels", *SMOKE)
    assert done.status == 0
    untrained, pixels = done.records
    assert (untrained["images_seen"], untrained["trains"], untrained["on_track"]) == (0, False, True)
    assert (pixels["dimension"], pixels["on_track"]) == (256, False)


@pytest.mark.slow
def test_one_failure_is_a_record_and_stops_nobody(losses, records):
    names = ("raises", "nan", "shape", "dies")
    done = records(*(f"./losses.py:{name}" for name in names), "contrastive", *SMOKE, "--jobs", "2")
    assert done.status == 1
    *failed, good = done.records
    assert good["outcome"]["status"] == "ok"
    outcomes = {name: record["outcome"] for name, record in zip(names, failed, strict=True)}
    assert {outcome["status"] for outcome in outcomes.values()} == {"failed"}
    assert {name: outcome["kind"] for name, outcome in outcomes.items()} == {
        "raises": "ValueError",
        "nan": "RunError",
        "shape": "ContractError",
        "dies": "ProcessEnded",
    }
    assert (
        outcomes["raises"]["message"]
        == "out of luck\n  in   loss local:raises as 'loss', losses.py:13 raises"
    )
    assert outcomes["raises"]["frames"][-1] == "losses.py:13 raises"
    assert "nan" in outcomes["nan"]["message"]
    assert "(32,)" in outcomes["shape"]["message"] or "(30,)" in outcomes["shape"]["message"]
    assert "exit status 7" in outcomes["dies"]["message"]
    assert (
        "FAILED  ValueError: out of luck\n  in   loss local:raises as 'loss', losses.py:13 raises" in done.err
    )
    assert done.err.count("FAILED") == 4


def test_a_failure_is_never_taken_for_done(losses, records):
    assert records("./losses.py:raises", *SMOKE).status == 1
    again = records("./losses.py:raises", *SMOKE)
    assert again.status == 1
    assert "(from its record)" not in again.err


def test_when_nothing_ended_well_the_table_says_so(losses, dmlbench):
    done = dmlbench("run", "./losses.py:raises", "--task", "tiny", *SMOKE)
    assert (done.status, done.out) == (1, "no run ended well\n")


def test_an_unwritable_place_is_named(project, dmlbench):
    (project / "runs").write_text("a file")
    done = dmlbench("run", "contrastive", "--task", "tiny", *SMOKE)
    assert done.status == 1
    assert done.err.startswith("error: cannot write to runs: ")
    assert "--out" in done.err


@pytest.mark.slow
def test_what_a_plugin_prints_does_not_reach_standard_output(losses, spawn):
    process = spawn("run", "./losses.py:plain", "--task", "tiny", *SMOKE, "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(json.loads(out)) == 1
    assert "talk from a loss" in err


@pytest.mark.slow
def test_two_commands_at_once_share_one_run(losses, spawn, records, until):
    other = spawn("run", "./losses.py:slow", "--task", "tiny", *SMOKE, "--json")
    until(lambda: list((losses.parent / "runs").glob("*/components.json")))
    mine = records("./losses.py:slow", *SMOKE)
    out, err = other.communicate(timeout=120)
    assert (mine.status, other.returncode) == (0, 0), err
    assert json.loads(out) == mine.records
    assert "(from its record)" in mine.err


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_lost(project, records, tmp_path):
    """A folder of 100 KB: enough for the spec, too little for checkpoints and embeddings."""
    small = project / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        full = records("das", *SMOKE, "--out", "small/runs")
        left = sorted(path.name for path in small.glob("runs/*/*"))
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert full.status == 1
    (record,) = full.records
    assert record["outcome"]["message"].startswith("cannot write to small/runs/")
    assert re.search("No space left on device|full", record["outcome"]["message"])
    (line,) = [line for line in full.err.splitlines() if "FAILED" in line]
    assert "cannot write to small/runs/" in line
    assert "Traceback" not in full.err
    assert "spec.json" in left
    assert not [name for name in left if name.startswith(".") and name != ".lock"]
    assert records("das", *SMOKE, "--out", "large").status == 0
