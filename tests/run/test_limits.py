"""How much a run may take, and how it is measured."""

import os
import subprocess
import sys

import psutil
import pytest

from dmlbench.run.limits import (
    STALL_MINUTES,
    Limits,
    limits_for,
    machine_memory_gib,
    memory_in_use_gib,
)

TOTAL = psutil.virtual_memory().total / 2**30


def test_what_the_user_says_holds():
    assert limits_for(3, 0.5, at_a_time=4) == Limits(3, 0.5, True)


def test_runs_share_nine_tenths_of_the_memory(monkeypatch):
    monkeypatch.setattr("dmlbench.run.limits.machine_memory_gib", lambda: 100.0)
    assert limits_for(None, None, at_a_time=1) == Limits(STALL_MINUTES, 90.0, True)
    assert limits_for(None, None, at_a_time=9).memory_gib == pytest.approx(10.0)
    assert limits_for(None, None, at_a_time=1, on_gpu=True).by_system is False


def test_a_share_that_would_be_small_is_not_enforced(monkeypatch):
    monkeypatch.setattr("dmlbench.run.limits.machine_memory_gib", lambda: 100.0)
    assert limits_for(None, None, at_a_time=64).memory_gib == 4.0
    monkeypatch.setattr("dmlbench.run.limits.machine_memory_gib", lambda: 2.0)
    assert limits_for(None, None, at_a_time=64).memory_gib == pytest.approx(1.8)


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_has_what_its_control_group_has(tmp_path, file):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{2**29}\n")
    assert machine_memory_gib(tmp_path) == 0.5


def test_a_control_group_without_a_limit_changes_nothing(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory_gib(tmp_path) == pytest.approx(TOTAL)
    assert machine_memory_gib(tmp_path / "missing") == pytest.approx(TOTAL)


def test_children_count_when_they_are_asked_for():
    code = "kept = b'x' * (1 << 28); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        alone = memory_in_use_gib(os.getpid(), descendants=False)
        together = memory_in_use_gib(os.getpid(), descendants=True)
        child.communicate(b"\n")
    assert 0.25 < together - alone < 0.5
    assert memory_in_use_gib(child.pid, descendants=True) == 0.0
