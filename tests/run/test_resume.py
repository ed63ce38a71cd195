"""Killed in the middle and issued again: the same numbers, bit for bit."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def interrupted(project, spawn, until):
    """A `run` that has just written a checkpoint: its process, its folder."""

    def start(method):
        process = spawn("run", method, "--task", "tiny", "--profile", "quick", "--json")
        until(lambda: list((project / "runs").glob("*/checkpoint.pt")))
        (root,) = [path.parent for path in (project / "runs").glob("*/checkpoint.pt")]
        return process, root

    return start


def commands(session):
    """The command lines of a session, by process: a stage is a group of its own in it."""
    found = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(process)) == session:
                found[int(process)] = Path(f"/proc/{process}/cmdline").read_bytes()
    return found


def test_a_killed_group_continues_where_it_was(interrupted, same_as_uninterrupted):
    process, root = interrupted("multi-similarity")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    same_as_uninterrupted("multi-similarity", root)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_an_orphan_ends_by_itself_and_its_run_continues(interrupted, same_as_uninterrupted, until):
    process, root = interrupted("das")
    assert len(commands(process.pid)) > 3
    process.kill()
    process.wait()
    until(lambda: not any(commands(process.pid).values()), seconds=10)
    same_as_uninterrupted("das", root)


def test_ctrl_c_says_one_line_and_the_same_command_continues(interrupted, same_as_uninterrupted):
    process, root = interrupted("contrastive")
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert out == ""
    assert (
        err.strip() == "interrupted; a run continues when the command is given again"
    )  # below the terminal's ^C
    same_as_uninterrupted("contrastive", root)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_ctrl_c_while_the_first_process_starts_says_one_line(project, spawn, until):
    process = spawn("run", "contrastive", "--task", "tiny", "--profile", "smoke")
    until(lambda: any(b"forkserver" in arguments for arguments in commands(process.pid).values()))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "interrupted; a run continues when the command is given again"
