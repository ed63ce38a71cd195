"""A stranger's plugins, good and bad, really installed, all at once; the real command, in its own process."""

import json
import subprocess
import sys

import pytest

from .wheels import CODE

#: What becomes of each, and what its line must say.
EXPECTED = {
    "good-losses": ("ok", "Proxies on a circle."),
    "raising-losses": ("broken", "ZeroDivisionError: division by zero"),
    "misspelt-losses": ("invalid", "dmlbench_loses is no hook; nearest: dmlbench_losses"),
    "mistyped-losses": ("invalid", "dmlbench_losses yielded a dict, not a LossPlugin"),
    "twin-losses": ("conflict", "'twin' is offered by other-twin and twin-losses"),
    "other-twin": ("conflict", "say other-twin:twin or twin-losses:twin"),
    "heavy-losses": ("ok", "Proxies on a circle."),
    "leaving-losses": ("broken", "SystemExit: 0"),
    "foreign-losses": ("invalid", "written for version 2 of the plugin API; this dmlbench has version 1"),
}


@pytest.fixture(scope="session")
def issue(environment):
    """Issue a command where everything is installed; the answer to the same command is kept."""
    answers = {}

    def run(*arguments, **more):
        key = (arguments, *more.items())
        if key not in answers:
            command = [sys.executable, "-m", "dmlbench", *arguments]
            options = {"capture_output": True, "text": True, "check": False}
            answers[key] = subprocess.run(command, env=environment | more, **options)
        return answers[key]

    return run


def test_the_list_ends_well_and_names_each_with_its_status(issue):
    done = issue("list", "loss")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for name, (status, said) in EXPECTED.items():
        (line,) = [line for line in done.stdout.splitlines() if name in line.split()[:2]]
        assert f" {status} " in line
        assert said in line
    assert "dmlbench:contrastive" in done.stdout


def test_json_lists_id_distribution_version_and_status_of_each(issue):
    rows = json.loads(issue("list", "loss", "--json").stdout)
    for row in rows:
        assert {"id", "distribution", "version", "status"} <= set(row)
    own = {row["distribution"]: row for row in rows if row["distribution"] in CODE}
    assert {name: row["status"] for name, row in own.items()} == {n: s for n, (s, _) in EXPECTED.items()}
    assert {row["version"] for row in own.values()} == {"0.3"}
    assert own["good-losses"]["id"] == "good-losses:ring"
    assert own["raising-losses"]["id"] == "raising-losses"  # nobody knows what it would offer


def test_who_imports_torch_at_discovery_is_told_of(issue):
    done = issue("list", "plugin", "--json")
    rows = {row["distribution"]: row for row in json.loads(done.stdout) if row["distribution"] in CODE}
    assert [name for name, row in rows.items() if row["imports_torch"]] == ["heavy-losses"]
    assert {name: row["status"] for name, row in rows.items()} == {n: s for n, (s, _) in EXPECTED.items()}
    assert "heavy-losses (plugin) imports torch at discovery" in done.stderr
    assert "imports torch at discovery" in issue("show", "plugin", "heavy-losses").stdout


def test_a_traceback_is_one_command_away_and_starts_in_the_plugins_own_code(issue):
    done = issue("show", "plugin", "raising-losses")
    assert done.returncode == 0
    first, detail, head, frame, *_ = done.stdout.splitlines()
    assert first == "raising-losses 0.3, entry point plugin: broken"
    assert detail == "ZeroDivisionError: division by zero"
    assert head.startswith("Traceback")
    assert "raising_losses" in frame
    assert "in start" in done.stdout


def test_strict_ends_with_2_and_names_every_faulty_one(issue):
    done = issue("--strict-plugins", "list", "loss")
    assert (done.returncode, done.stdout) == (2, "")
    for name, (status, _) in EXPECTED.items():
        assert (f"{name} (plugin) is {status}" in done.stderr) == (status != "ok")


def test_the_switch_lets_in_whom_it_names_and_what_is_blocked_is_never_imported(issue):
    done = issue("--strict-plugins", "list", "loss", "--json", DMLBENCH_PLUGINS="good-losses")
    assert done.returncode == 0, done.stderr
    rows = {row["distribution"]: row["status"] for row in json.loads(done.stdout)}
    blocked = {name for name, status in rows.items() if status == "blocked"}
    assert set(CODE) - blocked == {"good-losses"}
    assert rows["good-losses"] == "ok"
    assert done.stderr == ""


def test_a_name_that_a_broken_plugin_may_have_offered_leads_to_the_plugin(issue):
    done = issue("show", "loss", "raising-losses:ring")
    assert done.returncode == 2
    assert "raising-losses (plugin) is broken: ZeroDivisionError" in done.stderr
    assert "dmlbench show plugin raising-losses" in done.stderr


@pytest.mark.slow
def test_methods_of_ours_and_the_good_ones_still_run(project, home, issue):
    arguments = ["--task", "tiny", "--profile", "smoke", "--json"]
    methods = ["contrastive", "good-losses:ring", "twin-losses:twin"]
    done = issue("run", *methods, *arguments, DMLBENCH_HOME=str(home))
    assert done.returncode == 0, done.stderr
    records = {record["method"]: record["outcome"]["status"] for record in json.loads(done.stdout)}
    assert records == {
        "dmlbench:contrastive": "ok",
        "good-losses:loss-ring": "ok",
        "twin-losses:loss-twin": "ok",
    }
