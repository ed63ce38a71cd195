"""`dmlbench compare A B`."""

import hashlib
import json

import pytest
from click.testing import CliRunner

from dmlbench.cli.compare import command
from dmlbench.errors import ResultsError, UsageError
from dmlbench.results import classes
from dmlbench.results.line import encode
from dmlbench.results.store import add
from dmlbench.spec.record import Outcome, Record

BASE = [0.401, 0.405, 0.398, 0.403, 0.400, 0.407, 0.402, 0.404]
NOISE = [0.0, 0.001, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001]


def made(method, seed, score, **changes):
    """A record and sums over 30 classes that agree with it."""
    names = tuple(f"c{index}" for index in range(30))
    sums = classes.ClassSums(classes=names, counts=(5,) * 30, sums={"map_at_r": (5 * score,) * 30})
    fields = {
        "method": method,
        "seed": seed,
        "protocol": "zero-shot/v1",
        "task": "emoji",
        "track": "emoji-conv4-32px-d128",
        "profile": "quick",
        "budget": 95_000,
        "scored": "validation",
        "numerics": "cpu-bf16",
        "metrics": {"map_at_r": score, "recall_at_1": score},
        "metric_versions": {"map_at_r": 1, "recall_at_1": 1},
        "outcome": Outcome(status="ok"),
        "classes": classes.digest(sums),
        **changes,
    }
    key = hashlib.sha256(json.dumps([method, seed, fields["profile"]]).encode()).hexdigest()[:32]
    return Record.model_validate({"run_key": key, "run_id": f"20260102T030405Z-{key[:6]}", **fields}), sums


def put_run(runs, method, seed, score, **changes):
    record, sums = made(method, seed, score, **changes)
    folder = runs / record.run_key
    folder.mkdir(parents=True)
    (folder / f"record.{record.scored}.json").write_bytes(encode(record))
    classes.write(folder / f"classes.{record.scored}.json.gz", sums)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Eight seeds of a committed method and of an own loss in ./runs, better by 0.02."""
    monkeypatch.chdir(tmp_path)
    for seed, score in enumerate(BASE):
        record, sums = made("dmlbench:multi-similarity", seed, score)
        add(tmp_path / "leaderboards", record, frozen=(), sums=sums)
        put_run(tmp_path / "runs", "acme:loss-my-loss", seed, score + 0.02 + NOISE[seed])
    return tmp_path


def run(*args):
    return CliRunner().invoke(command, args, catch_exceptions=False)


def test_an_own_loss_against_a_committed_method(place):
    result = run("my-loss", "multi-similarity")
    assert result.exit_code == 0
    head, _, row, _, _, sentence = result.stdout.splitlines()
    assert head.split()[:3] == ["metric", "acme:loss-my-loss", "dmlbench:multi-similarity"]
    assert row.split()[:3] == ["map_at_r", "0.4225", "0.4025"]
    assert row.endswith("0.0078  real")
    better = "acme:loss-my-loss is better than dmlbench:multi-similarity"
    assert sentence == f"Real: {better} (map_at_r +0.0200 over 8 shared seeds)."


def test_as_json(place):
    told = json.loads(run("multi-similarity", "my-loss", "--json").stdout)
    assert (told["a"], told["b"]) == ("dmlbench:multi-similarity", "acme:loss-my-loss")
    primary, other = told["differences"]
    assert primary["metric"] == "map_at_r"
    assert (primary["verdict"], primary["p"], primary["seeds"]) == ("real", 2 / 256, 8)
    assert primary["difference"] == pytest.approx(-0.02)
    assert (other["verdict"], other["interval"]) == ("no class sums", None)
    assert "acme:loss-my-loss is better" in told["sentence"]


def test_few_seeds_get_no_verdict(place):
    for seed in range(3):
        put_run(place / "more", "acme:young", seed, 0.9)
    result = run("young", "multi-similarity", "--from", "more", "--from", "leaderboards")
    assert "too few seeds" in result.stdout
    assert (
        "No verdict: acme:young against dmlbench:multi-similarity has 3 shared seeds, and 6 are"
        in result.stdout
    )


def test_noise_is_undecided_with_the_seeds_it_would_take(place):
    for seed, score in enumerate(BASE):
        put_run(place / "more", "acme:noisy", seed, score + (0.012 if seed % 2 else -0.009))
    text = run("noisy", "multi-similarity", "--from", "more", "--from", "leaderboards").stdout
    assert "Undecided: a difference like this one takes more than 100 seeds" in text
    assert "undecided (>100 seeds)" in text


def test_other_conditions_are_an_error_that_names_the_field(place):
    put_run(place / "runs", "acme:far", 0, 0.5, numerics="cuda-bf16")
    with pytest.raises(ResultsError, match="numerics differs"):
        run("far", "multi-similarity")


def test_two_profiles_ask_for_a_choice(place):
    for method in ("acme:loss-my-loss", "dmlbench:multi-similarity"):
        put_run(place / "runs", method, 0, 0.5, profile="smoke", budget=8000)
    with pytest.raises(UsageError, match="more than one profile: quick, smoke"):
        run("my-loss", "multi-similarity")
    assert "1 shared seed" in run("my-loss", "multi-similarity", "--profile", "smoke").stdout


def test_names_that_mean_nothing_or_one_thing_are_usage_errors(place):
    with pytest.raises(UsageError, match="no record of a method 'my-los'"):
        run("my-los", "multi-similarity")
    with pytest.raises(UsageError, match="are one method"):
        run("my-loss", "acme:loss-my-loss")


def test_an_empty_place_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no results were found") as caught:
        run("a", "b")
    assert caught.value.place == "./leaderboards and ./runs"


def test_talk_goes_to_stderr(place):
    put_run(place / "runs", "acme:loss-my-loss", 0, 0.1, run_key="1" * 32, run_id="2025-older")
    result = run("my-loss", "multi-similarity")
    assert "1 records of older runs" in result.stderr
    assert "older" not in result.stdout


@pytest.mark.slow
def test_the_smoke_run_that_one_side_lacks_is_made(project, dmlbench):
    """In both directions, whichever name stands first."""
    assert dmlbench("run", "multi-similarity", "--task", "tiny", "--profile", "smoke").status == 0
    done = dmlbench("compare", "multi-similarity", "contrastive", "--json")
    assert done.status == 0, done.err
    assert "dmlbench:contrastive has no smoke run to compare with; making it now" in done.err
    told = json.loads(done.out)
    assert (told["a"], told["b"], told["seeds"]) == ("dmlbench:multi-similarity", "dmlbench:contrastive", [0])
    assert len(list(project.glob("runs/*/record.validation.json"))) == 2
    again = dmlbench("compare", "untrained", "contrastive")
    assert again.status == 0, again.err
    assert "dmlbench:untrained has no smoke run" in again.err
    assert "making" not in dmlbench("compare", "multi-similarity", "contrastive").err


def refused(*args):
    with pytest.raises((UsageError, ResultsError)) as caught:
        run(*args)
    return str(caught.value)


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    """One smoke run of an own loss in ./runs; nothing may be run in these tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dmlbench.cli.run.command", None)
    put_run(tmp_path / "runs", "acme:loss-my-loss", 0, 0.4, profile="smoke", budget=8000)
    return tmp_path


def test_only_missing_smoke_runs_on_validation_classes_are_made(smoke):
    put_run(smoke / "runs", "acme:long", 0, 0.4)
    put_run(smoke / "runs", "acme:sealed", 0, 0.4, profile="smoke", budget=8000, scored="test")
    for name in ("long", "sealed"):
        assert "no record of a method 'contrastive'" in refused(name, "contrastive")
    assert "no record of a method 'contrastive'" in refused("my-loss", "contrastive", "--profile", "quick")


def test_nothing_is_made_where_the_user_says_where_records_are(smoke):
    assert "no record of a method 'contrastive'" in refused("my-loss", "contrastive", "--from", "runs")


def test_nothing_is_made_of_a_name_that_no_plugin_has(smoke):
    assert "no record of a method 'contrastiv'" in refused("my-loss", "contrastiv")


def test_nothing_is_made_for_a_name_that_could_be_several(smoke):
    for owner in ("acme", "other"):
        put_run(smoke / "runs", f"{owner}:twice", 0, 0.4)
    assert "could be any of several methods" in refused("my-loss", "twice")
