"""Losses that misbehave, each in its own way, beside one that does not: real processes, real ends."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MEMORY_GIB = 1

CODE = """
import ctypes, os, re, signal, subprocess, sys, threading, time
import torch
from torch import nn

def good(embeddings, labels):
    return embeddings.var(dim=0).sum()

def raises(embeddings, labels):
    raise ValueError("out of luck")

def says_much(embeddings, labels):
    raise ValueError("x" * 10**7)

def nan(embeddings, labels):
    return embeddings.sum() * float("nan")

def breaks_the_weights(embeddings, labels):
    return (embeddings - embeddings).square().sum().sqrt() + embeddings.sum()

def wrong_shape(embeddings, labels):
    return embeddings.sum(dim=1)

def wrong_dtype(embeddings, labels):
    return labels.sum()

def wrong_type(embeddings, labels):
    return 1.0

def flat(embeddings, labels):
    return embeddings.detach().sum()

def eats(embeddings, labels):
    kept = []
    while True:
        kept.append([0] * 10_000)

def eats_at_once(embeddings, labels):
    return torch.ones(2**40).sum() + embeddings.sum()

def eats_elsewhere(embeddings, labels):
    code = "kept = b'x' * (5 << 27); import time; time.sleep(1000)"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    both[0].wait()

def mutates_labels(embeddings, labels):
    labels[0] = 0
    return embeddings.sum()

def mutates_embeddings(embeddings, labels):
    embeddings.mul_(2)
    return embeddings.sum()

def exits(embeddings, labels):
    sys.exit(0)

def exits_at_once(embeddings, labels):
    os._exit(0)

def segfaults(embeddings, labels):
    ctypes.string_at(0)

def is_killed(embeddings, labels):
    os.kill(os.getpid(), signal.SIGKILL)

class ExitsWhenBuilt(nn.Module):
    def __init__(self):
        super().__init__()
        sys.exit(3)
    def forward(self, embeddings):
        return embeddings.sum()

class SegfaultsWhenBuilt(nn.Module):
    def __init__(self):
        super().__init__()
        ctypes.string_at(0)
    def forward(self, embeddings):
        return embeddings.sum()

def sleeps(embeddings, labels):
    while True:
        time.sleep(0.01)

def keeps_the_interpreter(embeddings, labels):
    print("no way back from here")
    re.match("(a+)+$", "a" * 80 + "b")

def locks_itself_out(embeddings, labels):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def asks_for_ever(embeddings, features, head):
    while True:
        head(features)

def prints(embeddings, labels):
    for _ in range(100):
        sys.stdout.write(f"{len(labels)} again and again\\n" * 10_000)
    return embeddings.var(dim=0).sum()

def leaves_threads(embeddings, labels):
    threading.Thread(target=time.sleep, args=(1000,), name="forgotten").start()
    return embeddings.var(dim=0).sum()

started = []

def leaves_processes(embeddings, labels):
    if not started:
        started.append(subprocess.Popen(["sleep", "1000"]))
        started.append(subprocess.Popen(["sleep", "1000"], start_new_session=True))
        print("pids", *(process.pid for process in started))
    return embeddings.var(dim=0).sum()
"""

FAIL = {
    "raises": ("ValueError", "out of luck"),
    "says_much": ("ValueError", r"x{2000}… \(10,000,000 characters\)"),
    "nan": ("RunError", r"the loss is nan \(loss nan\)"),
    "breaks_the_weights": ("RunError", "a gradient of an earlier step was not finite"),
    "wrong_shape": ("ContractError", r"returned a tensor of float32 of shape \(30,\)"),
    "wrong_dtype": ("ContractError", r"returned a tensor of int64 of shape \(\)"),
    "wrong_type": ("ContractError", "returned a float"),
    "flat": ("ContractError", "has no gradient"),
    "eats": ("OutOfMemory", "MemoryError|are allowed"),
    "eats_at_once": ("OutOfMemory", "can't allocate memory"),
    "eats_elsewhere": ("OutOfMemory", r"took \d\.\d+ GiB of memory, 1.00 are allowed"),
    "mutates_labels": ("ContractError", "changed 'labels' in place"),
    "mutates_embeddings": ("ContractError", "changed 'embeddings' in place"),
    "exits": ("SystemExit", r"it called sys.exit\(0\)"),
    "exits_at_once": ("ProcessEnded", "'train' ended with exit status 0 before it was done"),
    "segfaults": ("ProcessEnded", "killed by SIGSEGV"),
    "is_killed": ("ProcessEnded", r"killed by SIGKILL \(out of memory\?\)"),
    "ExitsWhenBuilt": ("SystemExit", r"it called sys.exit\(3\)"),
    "SegfaultsWhenBuilt": ("ProcessEnded", "killed by SIGSEGV"),
}
HANG = ("sleeps", "keeps_the_interpreter", "locks_itself_out", "asks_for_ever")
WELL = ("prints", "leaves_threads", "leaves_processes")


@pytest.fixture
def bad(project):
    """A file of losses that misbehave; its text by lines."""
    (project / "bad.py").write_text(CODE)
    return CODE.splitlines()


@pytest.fixture
def run(bad, spawn, until):
    """Run some of them, and the good one last: exit status, records by name, what was said."""

    def issue(*names, stall_minutes=2):
        losses = [f"./bad.py:{name}" for name in (*names, "good")]
        limits = ("--stall-minutes", stall_minutes, "--memory-gib", MEMORY_GIB)
        process = spawn(
            "run", *losses, "--task", "tiny", "--profile", "smoke", "--jobs", "2", "--json", *limits
        )
        out, err = process.communicate(timeout=500)
        assert "Traceback" not in err
        until(lambda: not processes_of(process.pid), seconds=10)
        return process.returncode, dict(zip((*names, "good"), json.loads(out), strict=True)), err

    return issue


def processes_of(session):
    """The processes of a session that have not ended."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(process)) == session and Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(int(process))
    return found


def line_of(bad, name):
    """Where the function or constructor called `name` begins and ends."""
    first = next(i for i, line in enumerate(bad, 1) if re.match(rf"(def|class) {name}\b", line))
    last = next((i for i, line in enumerate(bad, 1) if i > first and re.match(r"\S", line)), len(bad))
    return range(first, last)


def named(record, bad, name):
    """Whether the failed record names the component and a line of its code."""
    kebab = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()
    place = rf"^  in   loss local:{kebab} as 'loss'.*, (bad\.py):(\d+)"
    found = re.search(place, record["outcome"]["message"], re.MULTILINE)
    return found is not None and int(found[2]) in line_of(bad, name)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is refused by the system on Linux alone")
def test_what_fails_is_named_and_recorded_and_the_good_one_ends_well(bad, project, run):
    status, records, err = run(*FAIL)
    assert status == 1
    assert records["good"]["outcome"]["status"] == "ok"
    for name, (kind, words) in FAIL.items():
        outcome = records[name]["outcome"]
        assert (name, outcome["status"], outcome["kind"]) == (name, "failed", kind)
        assert re.search(words, outcome["message"]), (name, outcome["message"])
        assert len(outcome["message"]) < 3000
        assert named(records[name], bad, name), (name, outcome["message"])
        assert str(project) not in json.dumps(records[name])
        (log,) = re.findall(
            rf"FAILED  {kind}: .*(?:\n  .*)*?\n  log  (runs/{records[name]['run_key']}\S+)", err
        )
        assert name.startswith(("exits_at", "is_killed")) or "bad.py" in (project / log).read_text()


def test_what_never_returns_is_ended_and_named(bad, run):
    status, records, _ = run(*HANG, stall_minutes=0.2)
    assert status == 1
    assert records["good"]["outcome"]["status"] == "ok"
    for name in HANG:
        outcome = records[name]["outcome"]
        assert (name, outcome["status"], outcome["kind"]) == (name, "failed", "Timeout")
        assert "no progress in the stage 'train' for 0.2 minutes" in outcome["message"]
        assert any(f"bad.py:{line} {name}" in outcome["frames"] for line in line_of(bad, name)), outcome
    *names, through_a_service = HANG
    assert all(named(records[name], bad, name) for name in names)
    said = records[through_a_service]["outcome"]["message"]  # it was met in its own code, or in the head's
    assert "  in   loss local:asks-for-ever as 'loss'" in said


def test_what_is_left_over_is_ended_and_said_and_spoils_nothing(project, run):
    status, records, err = run(*WELL)
    assert status == 0
    assert {record["outcome"]["status"] for record in records.values()} == {"ok"}
    assert len({json.dumps(record["metrics"]) for record in records.values()}) == 1
    assert re.search(r"left running by the stage 'train', ended: \d+ x thread forgotten", err)
    assert "left running by the stage 'train', ended: 2 x process sleep" in err
    (pids,) = re.findall(r"pids (\d+) (\d+)", err)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    log = project / "runs" / records["prints"]["run_key"] / "output.log"
    assert log.stat().st_size < 2 * 2**20
    assert err.count("again and again") < 1000
    assert "it goes on printing, see runs/" in err


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it on Linux alone")
def test_an_orphan_that_keeps_the_interpreter_ends_too(bad, spawn, until):
    process = spawn("run", "./bad.py:keeps_the_interpreter", "--task", "tiny", "--profile", "smoke")
    until(lambda: "no way back" in process.stderr.readline())
    assert len(processes_of(process.pid)) > 3
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not processes_of(process.pid), seconds=10)


def test_ctrl_c_ends_what_does_not_listen(bad, spawn, until):
    process = spawn("run", "./bad.py:keeps_the_interpreter", "--task", "tiny", "--profile", "smoke")
    until(lambda: "no way back" in process.stderr.readline())
    os.kill(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    assert process.returncode == 130
    until(lambda: not processes_of(process.pid), seconds=10)
