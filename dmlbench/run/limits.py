"""How long a run may go without a step, and how much memory it may take."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

STALL_MINUTES = 10.0
_SHARE_OF_MEMORY = 0.9
"""The rest is for the command itself, for files and for whatever else runs here."""
_LEAST_GIB = 4.0
"""A smaller share than this is not enforced unless it is asked for: many cores, little memory."""
_GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """Of one run. They contain mistakes: a component that is out to get round them will."""

    stall_minutes: float = STALL_MINUTES
    """Without a step, a batch embedded or a stage ended."""
    memory_gib: float = math.inf
    """Of the run's processes together, files that are mapped into memory left out."""
    by_system: bool = True
    """Let the system refuse what goes over it too: the error is then where the allocation is."""


class Stall(NamedTuple):
    """Nothing achieved for longer than is allowed."""

    stage: str
    minutes: float

    def __str__(self) -> str:
        return f"no progress in the stage {self.stage!r} for {self.minutes:g} minutes"


class TooMuchMemory(NamedTuple):
    """More memory taken than is allowed."""

    stage: str
    gib: float
    allowed: float

    def __str__(self) -> str:
        return f"the stage {self.stage!r} took {self.gib:.2f} GiB of memory, {self.allowed:.2f} are allowed"


Excess = Stall | TooMuchMemory


def limits_for(
    stall_minutes: float | None, memory_gib: float | None, *, at_a_time: int, on_gpu: bool = False
) -> Limits:
    """What the user said; else 10 minutes, and an equal share of nine tenths of the machine's memory."""
    usable = machine_memory_gib() * _SHARE_OF_MEMORY
    share = min(usable, max(usable / at_a_time, _LEAST_GIB))
    return Limits(
        STALL_MINUTES if stall_minutes is None else stall_minutes,
        share if memory_gib is None else memory_gib,
        by_system=not on_gpu,  # CUDA reserves far more than it uses
    )


def machine_memory_gib(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """All memory of this machine, or of the container that this is."""
    total = psutil.virtual_memory().total
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:  # no control group of this version
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total / _GIB


def let_system_refuse(limits: Limits) -> None:
    """Let this process have its memory and not more: the allocation that goes over it fails, where it is.

    Linux alone counts what is really private (RLIMIT_DATA); elsewhere the watch of the parent has to do.
    What was reserved but never touched before now is given on top.
    """
    if not (limits.by_system and sys.platform.startswith("linux")) or math.isinf(limits.memory_gib):
        return
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    reserved, touched = (int(fields[name].split()[0]) * 1024 for name in ("VmData", "RssAnon"))
    soft = int(limits.memory_gib * _GIB) + max(0, reserved - touched)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def memory_in_use_gib(pid: int, *, descendants: bool) -> float:
    """What the process holds, and everything that it started; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if descendants else ())]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(map(_private_bytes, family)) / _GIB


def _private_bytes(process: psutil.Process) -> int:
    """Without the pages of mapped files, which the system takes back when it needs them."""
    try:
        memory = process.memory_info()
    except psutil.Error:  # it has just ended, or belongs to somebody else
        return 0
    return memory.rss - getattr(memory, "shared", 0)
