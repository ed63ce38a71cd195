"""`check` notices what hands and accidents do to a leaderboard, and nothing else."""

import json
import shutil

import pytest

from dmlbench.results.boards import find_boards, render_boards
from dmlbench.results.check import check
from dmlbench.results.classes import write
from dmlbench.results.retractions import Retraction, retract
from dmlbench.results.store import add

FROZEN = {"zero-shot/v1"}
TAIL = "zero-shot/v1/emoji/emoji-conv4-32px-d128"


@pytest.fixture
def root(tmp_path, record, ranked, with_sums):
    for seed in range(2):
        for make in (record, ranked):
            one, sums = with_sums(make, "dmlbench:alpha", seed, 0.5 + seed / 100, spread=0.1)
            add(tmp_path, one, frozen=FROZEN, sums=sums)
        add(tmp_path, ranked("dmlbench:beta", seed, base="alpha"), frozen=FROZEN)
    render_boards(tmp_path)
    return tmp_path


def problems(root):
    return [f"{problem.place}: {problem.message}" for problem in check(root, frozen=FROZEN).problems]


def only_problem(root):
    found = problems(root)
    assert len(found) == 1, found
    return found[0]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_sound_tree_has_no_problems_and_is_counted(root):
    report = check(root, frozen=FROZEN)
    assert (report.boards, report.records, report.struck, report.problems) == (2, 6, 0, ())
    assert [board.relative_to(root).as_posix() for board in find_boards(root)] == ["preview/" + TAIL, TAIL]


def test_rendering_again_changes_no_byte(root):
    before = {path: path.read_bytes() for path in root.rglob("table.*")}
    assert len(before) == 4
    render_boards(root)
    assert {path: path.read_bytes() for path in root.rglob("table.*")} == before


def test_a_hand_edited_table_is_named_with_its_line(root):
    edit(root / TAIL / "table.md", "0.5000", "0.6000")
    assert "table.md: not what its records render to, from line 8" in only_problem(root)
    render_boards(root)
    edit(root / TAIL / "table.csv", "0.500000", "0.600000")
    assert "table.csv: not what its records render to" in only_problem(root)


def test_a_hand_edited_number_is_caught_by_the_per_class_sums_even_with_a_new_table(root):
    edit(root / TAIL / "records/dmlbench__alpha.jsonl", '"map_at_r":0.5,', '"map_at_r":0.6,')
    render_boards(root)
    assert "alpha.jsonl, line 1: map_at_r is 0.6 in the record, but 0.5" in only_problem(root)


def test_a_hand_edited_number_without_sums_is_caught_by_the_table(root):
    edit(root / TAIL / "records/dmlbench__beta.jsonl", '"map_at_r":0.5,', '"map_at_r":0.6,')
    assert all("not what its records render to" in text for text in problems(root))
    assert len(problems(root)) == 2


def test_a_line_written_by_hand_is_noticed(root):
    edit(root / TAIL / "records/dmlbench__beta.jsonl", '"seed":0', '"seed": 0')
    assert "line 1: not as dmlbench writes it" in only_problem(root)


def test_broken_lines_are_all_named(root):
    path = root / TAIL / "records/dmlbench__beta.jsonl"
    path.write_text(path.read_text().replace('"seed"', '"sead"'))
    found = problems(root)
    assert [text.partition("beta.jsonl")[2][:8] for text in found] == [", line 1", ", line 2"]


def test_a_torn_line_is_noticed(root):
    with (root / TAIL / "records/dmlbench__beta.jsonl").open("a") as file:
        file.write('{"torn')
    assert "the last line is torn" in only_problem(root)


def test_other_or_missing_sums_are_noticed(root, sums):
    file = sorted((root / TAIL / "records/dmlbench__alpha.classes").iterdir())[0]
    write(file, sums(0.1))
    assert "not the ones that the record names" in only_problem(root)
    file.unlink()
    assert "cannot read the per-class sums" in only_problem(root)


def test_a_run_twice_is_noticed_wherever_it_stands(root):
    path = root / TAIL / "records/dmlbench__beta.jsonl"
    line = path.read_text().splitlines(keepends=True)[0]
    with path.open("a") as file:
        file.write(line)
    assert "line 3: run" in only_problem(root)
    assert "stands in" in only_problem(root)
    assert "beta.jsonl, line 1 already" in only_problem(root)


def test_records_in_the_wrong_place_are_noticed(root):
    ranked, preview = root / TAIL, root / "preview" / TAIL
    shutil.rmtree(ranked)
    shutil.copytree(preview, ranked)
    shutil.rmtree(preview)
    render_boards(root)
    assert all("not a ranked record, so it belongs below preview/" in text for text in problems(root))
    shutil.move(ranked, root / "zero-shot/v1/omniglot/emoji-conv4-32px-d128")
    assert all(f"the record belongs to {TAIL}" in text for text in problems(root))
    assert len(problems(root)) == 2


def test_a_file_named_after_another_method_is_noticed(root):
    path = root / TAIL / "records/dmlbench__beta.jsonl"
    path.rename(path.with_name("dmlbench__gamma.jsonl"))
    assert all("the record is of dmlbench:beta, the file is not" in text for text in problems(root))


def test_missing_tables_and_tables_without_records_are_noticed(root):
    (root / TAIL / "table.csv").unlink()
    assert "the table is missing" in only_problem(root)
    shutil.rmtree(root / TAIL / "records")
    assert "table.md: a table without records" in only_problem(root)


def test_retractions_strike_and_must_strike_something(root, ranked):
    folder = root / TAIL
    key = ranked("dmlbench:alpha", 0).run_key
    retract(folder, Retraction(run_key=key, reason="mixed labels", date="2026-03-01"))
    assert "not what its records render to" in problems(root)[0]
    render_boards(root)
    report = check(root, frozen=FROZEN)
    assert (report.struck, report.problems) == (1, ())
    assert "mixed labels" in (folder / "table.md").read_text()
    retract(folder, Retraction(run_key="0" * 32, reason="typo", date="2026-03-01"))
    assert "is struck, but is not on this board" in only_problem(root)
    (folder / "retractions.jsonl").write_text(json.dumps({"run_key": key}) + "\n")
    assert "retractions.jsonl, line 1" in only_problem(root)
