import errno
import re
import subprocess
import sys

import click
import pytest

import dmlbench as package
from dmlbench import cli
from dmlbench.errors import RunError, UsageError


def test_help_lists_every_command_with_one_line(dmlbench):
    done = dmlbench("--help")
    assert done.status == 0
    for name, line in cli.COMMANDS.items():
        assert name in done.out
        assert line in done.out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_help_with_an_example(dmlbench, name):
    done = dmlbench(name, "--help")
    assert done.status == 0
    assert isinstance(cli.cli.get_command(None, name), click.Command)
    group = isinstance(cli.cli.get_command(None, name), click.Group)
    assert group or re.search("Examples?:", done.out)
    assert group or f"dmlbench {name}" in done.out


def test_the_version_is_the_packages(dmlbench):
    assert dmlbench("--version").out == f"dmlbench, version {package.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["run"], ["run", "das", "--no-such-option"], ["list"], ["list", "lss"]]
)
def test_wrong_usage_exits_with_2_and_says_nothing_on_standard_output(dmlbench, arguments):
    done = dmlbench(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("Usage:")


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (UsageError("no", way_out="yes"), 2, "error: no; try yes\n"),
        (RunError("no"), 1, "error: no\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            1,
            "error: No space left on device\n  in   /a/b\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted; a run continues when the command is given again"),
    ],
)
def test_an_error_becomes_a_message_and_a_status(dmlbench, monkeypatch, raised, status, said):
    @click.command()
    def command():
        raise raised

    monkeypatch.setattr(cli.cli, "get_command", lambda *_: command)
    done = dmlbench("run")
    assert (done.status, done.out) == (status, "")
    assert said in done.err


def test_a_reader_that_has_gone_is_no_traceback(spawn):
    process = spawn("list", "loss", "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() in (0, 1)


def test_ctrl_c_during_an_exec_ends_with_130_too(tmp_path):
    """Under `-m` Python remembers it and ends by the signal; making a data class is such an exec."""
    (tmp_path / "interrupted.py").write_text(
        "from dmlbench import cli\n"
        "cli.cli.main = lambda *arguments, **options: exec('raise KeyboardInterrupt')\n"
        "cli.main([])\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "interrupted; a run continues when the command is given again\n"
