import json

import click
import pytest

from dmlbench.cli.run import Seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("0-3", [0, 1, 2, 3]), ("0,2,5-7", [0, 2, 5, 6, 7]), ("1, 1-2", [1, 2]), ("4-4", [4])],
)
def test_seeds_are_read_as_ranges(text, seeds):
    assert Seeds().convert(text, None, None) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1..3", "0,,2"])
def test_other_seeds_are_refused(text):
    with pytest.raises(click.BadParameter, match="not of the form"):
        Seeds().convert(text, None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["contrastiv"], "near contrastive"),
        (["./none.py:loss"], "no file none.py"),
        (["./none.toml"], "cannot read the file"),
        (["das", "--task", "emojy"], "near emoji"),
        (["das", "--set", "das.copys=2"], "near copies"),
        (["das", "--set", "das.copies=1.5"], "das.copies"),
        (["das", "--seeds", "3-1"], "not of the form 0-9 or 0,2,5"),
        (["das", "--profile", "slow"], "'slow' is not one of"),
        (["das", "--jobs", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_command_exits_with_2_before_anything_is_written(project, dmlbench, arguments, said):
    done = dmlbench("run", "--task", "tiny", *arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (project / "runs").exists()


def test_the_table_has_a_row_a_method_and_the_interval_over_seeds(project, dmlbench):
    done = dmlbench(
        "run", "untrained", "raw-pixels", "--seeds", "0-1", "--task", "tiny", "--profile", "smoke"
    )
    assert done.status == 0
    head, names, _, *rows = done.out.splitlines()
    assert head == "local/tiny/v1, tiny, tiny, smoke, scored on validation classes"
    assert names.split() == ["method", "seeds", "recall_at_1", "map_at_r"]
    assert [row.split()[:2] for row in rows] == [["untrained", "2"], ["raw-pixels", "2"]]
    assert " ± " in rows[0]
    assert len(done.err.splitlines()) == 4


def test_json_is_a_list_of_records_and_nothing_else(project, dmlbench):
    done = dmlbench("run", "untrained", "--seeds", "0-1", "--task", "tiny", "--profile", "smoke", "--json")
    records = json.loads(done.out)
    assert [record["seed"] for record in records] == [0, 1]
    assert all(record["record_schema"] == 1 for record in records)


def test_a_committed_record_counts_as_done(project, dmlbench, monkeypatch):
    arguments = ("run", "untrained", "--task", "tiny", "--profile", "smoke", "--json")
    (record,) = json.loads(dmlbench(*arguments).out)
    from dmlbench.results import store
    from dmlbench.spec.record import Record

    (project / "leaderboards").mkdir()
    asked = []

    def find(boards, run_key, scored):
        asked.append((run_key, scored))
        return Record.model_validate(record)

    monkeypatch.setattr(store, "find", find)
    done = dmlbench(*arguments, "--out", "other")
    assert json.loads(done.out) == [record]
    assert asked == [(record["run_key"], "validation")]
    assert "(from its record)" in done.err
    assert not (project / "other").exists()
