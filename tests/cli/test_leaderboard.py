"""`dmlbench leaderboard add`, `render`, `check`."""

import csv
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dmlbench.cli.leaderboard import command
from dmlbench.errors import UsageError
from dmlbench.results import classes
from dmlbench.results.line import encode
from dmlbench.spec.record import Outcome, Record

SUMS = classes.ClassSums(classes=("a", "b"), counts=(5, 5), sums={"map_at_r": (2.0, 3.0)})
TAIL = "zero-shot/v1/emoji/emoji-conv4-32px-d128"


def put_run(runs, seed, status="ok", profile="ranked", score=0.5, run_id=None):
    key = f"{seed:016x}{profile.encode().hex():0>16}"
    ok = status == "ok"
    record = Record(
        run_key=key,
        run_id=run_id or f"20260102T030405Z-{seed:06x}",
        method="dmlbench:alpha",
        seed=seed,
        protocol="zero-shot/v1",
        task="emoji",
        track="emoji-conv4-32px-d128",
        profile=profile,
        budget=190_000,
        scored="test" if profile == "ranked" else "validation",
        numerics="cpu-bf16",
        outcome=Outcome(status=status),
        metrics={"map_at_r": score} if ok else {},
        classes=classes.digest(SUMS) if ok else None,
    )
    folder = runs / key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"record.{record.scored}.json").write_bytes(encode(record))
    classes.write(folder / f"classes.{record.scored}.json.gz", SUMS)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two ranked runs, a quick one and a failure in ./runs; zero-shot/v1 is frozen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dmlbench.protocols.frozen_ids", lambda: {"zero-shot/v1"})
    for seed in range(2):
        put_run(tmp_path / "runs", seed)
    put_run(tmp_path / "runs", 0, profile="quick")
    put_run(tmp_path / "runs", 7, status="failed")
    return tmp_path


def run(*args):
    return CliRunner().invoke(command, args, catch_exceptions=False)


def test_add_render_check_from_runs_to_tables(place):
    added = run("add", "runs")
    assert added.exit_code == 0
    assert sorted(added.stdout.splitlines()) == [
        f"added: dmlbench:alpha seed 0 quick/validation -> leaderboards/preview/{TAIL}",
        f"added: dmlbench:alpha seed 0 ranked/test -> leaderboards/{TAIL}",
        f"added: dmlbench:alpha seed 1 ranked/test -> leaderboards/{TAIL}",
    ]
    rendered = run("render")
    assert len(rendered.stdout.splitlines()) == 4
    assert (place / "leaderboards/preview" / TAIL / "table.md").read_text().startswith("# PREVIEW")
    checked = run("check")
    assert (checked.exit_code, checked.stdout) == (0, "2 boards, 3 records, 0 struck, 0 problems\n")


def test_adding_again_changes_nothing(place):
    run("add", "runs", "--to", "boards")
    before = {path: path.read_bytes() for path in (place / "boards").rglob("*") if path.is_file()}
    again = run("add", "runs", "--to", "boards")
    assert again.exit_code == 0
    assert {line.partition(":")[0] for line in again.stdout.splitlines()} == {"present"}
    assert {path: path.read_bytes() for path in (place / "boards").rglob("*") if path.is_file()} == before


def test_a_run_with_other_numbers_is_told_and_fails_the_command(place):
    run("add", "runs")
    put_run(place / "other", 0, score=0.6, run_id="20260202T000000Z-000000")
    result = run("add", "other")
    assert result.exit_code == 1
    assert result.stdout.startswith("differs: dmlbench:alpha seed 0")
    assert "is there already, with other numbers" in result.stderr


def test_nothing_to_add_is_a_usage_error(place):
    (place / "empty").mkdir()
    with pytest.raises(UsageError, match="no finished run"):
        run("add", "empty")


def test_check_prints_a_line_a_problem_and_fails(place):
    run("add", "runs")
    run("render")
    table = place / "leaderboards" / TAIL / "table.md"
    table.write_text(table.read_text().replace("0.5000", "0.9000"))
    result = run("check")
    assert result.exit_code == 1
    problem, counts = result.stdout.splitlines()
    assert "table.md: not what its records render to" in problem
    assert counts == "2 boards, 3 records, 0 struck, 1 problems"


SCRIPT = """
import sys
from dmlbench import protocols
protocols.frozen_ids = lambda: {"zero-shot/v1"}
from dmlbench.cli.leaderboard import command
command(["check", "boards"], standalone_mode=False)
print("heavy:", sorted({"torch", "numpy", "scipy"} & sys.modules.keys()))
"""


def test_check_loads_neither_torch_nor_numpy(place):
    """With six seeds against a base, so that every statistic is computed."""
    for seed in range(6):
        put_run(place / "runs", seed)
    run("add", "runs", "--to", "boards")
    path = place / "boards" / TAIL / "records" / "dmlbench__beta.jsonl"
    alpha = path.with_name("dmlbench__alpha.jsonl")
    text = (
        alpha.read_text().replace("dmlbench:alpha", "dmlbench:beta").replace('"base":null', '"base":"alpha"')
    )
    path.write_text(text.replace('"run_key":"0', '"run_key":"1'))
    path.with_suffix(".classes").symlink_to(alpha.with_suffix(".classes"))
    run("render", "boards")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert "0 problems" in done.stdout
    assert "undecided" in (place / "boards" / TAIL / "table.md").read_text()
    assert done.stdout.endswith("heavy: []\n")


def test_a_table_is_sorted_by_the_primary_metric_of_its_protocol(tmp_path, monkeypatch):
    """The first by name says one thing, the protocol's the other."""
    monkeypatch.chdir(tmp_path)
    for seed, (method, other, primary) in enumerate([("a:one", 0.9, 0.2), ("a:two", 0.1, 0.3)]):
        record = Record(
            run_key=f"{seed:032x}",
            run_id=f"20260102T030405Z-{seed:06x}",
            method=method,
            seed=0,
            protocol="multi-label/v1",
            task="emoji-tags",
            track="emoji-tags-conv4-32px-d128",
            profile="quick",
            budget=95_000,
            scored="validation",
            numerics="cpu-bf16",
            outcome=Outcome(status="ok"),
            metrics={"acg_at_10": other, "ndcg_graded_at_100": primary},
        )
        folder = tmp_path / "runs" / record.run_key
        folder.mkdir(parents=True)
        (folder / "record.validation.json").write_bytes(encode(record))
    assert run("add", "runs").exit_code == 0
    (path,) = [line for line in run("render").stdout.split() if line.endswith("table.csv")]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert [row["method"] for row in rows] == ["a:two", "a:one"]
    assert {row["primary"] for row in rows} == {"ndcg_graded_at_100"}
    assert run("check").exit_code == 0
    run("render", "--primary", "acg_at_10")
    assert run("check").exit_code == 1
    assert run("check", "--primary", "acg_at_10").exit_code == 0
