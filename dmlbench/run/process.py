"""A process of its own for code that may misbehave: started from a clean fork server, watched, ended whole.

The fork server has imported torch and this package, but no plugin, so a process starts in milliseconds and
the scorer stays free of plugin code. This contains mistakes, not malice: a plugin has the user's rights.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver, reduction, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from dmlbench.run import inside
from dmlbench.run.limits import Excess, Limits, Stall, TooMuchMemory, memory_in_use_gib
from dmlbench.run.output import Output
from dmlbench.train import board

_LOOK_EVERY = 0.25
"""Seconds between two looks at what a process does."""
_LONGEST_LOOK = 5.0
"""Of the time between two looks no more counts: the command may have been suspended meanwhile."""
_FAMILY_EVERY = 20
"""Looks between two at what the process started."""
_DUMP_SECONDS = 1.0


class Watched:
    """A running process; `work` is called there as `work(report, *arguments)`.

    What it reports arrives in `hear`, what it prints in `log` and, line by line, in `show`.
    """

    def __init__(
        self,
        name: str,
        work: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        limits: Limits,
        log: Path | None,
        show: Callable[[str], None],
    ) -> None:
        self.name = name
        self.limits = limits
        context = _context()
        self._messages, messages = context.Pipe(duplex=False)
        source, sink = os.pipe()
        self.output = Output(source, log, show)
        self._stack = tempfile.TemporaryFile()  # noqa: SIM115
        self._board = context.RawArray("B", board.SIZE)
        handles = (messages, _Handle(sink), _Handle(self._stack.fileno()))
        self.process = context.Process(
            target=inside.run, args=(work, arguments, *handles, self._board, limits), name=f"dmlbench-{name}"
        )
        self.process.start()
        messages.close()
        os.close(sink)
        self._told = ""
        self._listening = True
        self._finished = False
        self._looked = time.monotonic()
        self._looks = 0
        self._beats = 0
        self._idle = 0.0

    @property
    def sources(self) -> list[Any]:
        """What to wait for: it says something, prints something, or ends."""
        listening = [self._messages] if self._listening else []
        return [*listening, *([self.output] if self.output.open else []), self.process.sentinel]

    @property
    def worker(self) -> board.Worker | None:
        """The component that is at work there, or was at the end."""
        return board.read(bytes(self._board))[1]

    def stack(self) -> str:
        """Where its threads were when it crashed, or was asked."""
        if not self._stack.closed:  # without moving the place where the other side writes
            size = os.fstat(self._stack.fileno()).st_size
            self._told = os.pread(self._stack.fileno(), size, 0).decode(errors="replace")
        return self._told

    def hear(self) -> list[dict[str, Any]]:
        """Its reports since the last call."""
        self.output.read()
        heard = []
        try:
            while self._listening and self._messages.poll():
                heard.append(self._messages.recv())
        except (EOFError, OSError):  # its end of the pipe is closed: it is about to exit
            self._listening = False
        return heard

    def excess(self) -> Excess | None:
        """What it does too much of; None while all is well. To be asked again and again."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return None
        beats, _ = board.read(bytes(self._board))
        self._idle = 0.0 if beats != self._beats else self._idle + min(now - self._looked, _LONGEST_LOOK)
        self._beats, self._looked, self._looks = beats, now, self._looks + 1
        if self._idle > 60 * self.limits.stall_minutes:
            return Stall(self.name, self.limits.stall_minutes)
        used = memory_in_use_gib(self.process.pid, descendants=self._looks % _FAMILY_EVERY == 0)
        allowed = self.limits.memory_gib
        return TooMuchMemory(self.name, used, allowed) if used > allowed else None

    def dump(self) -> None:
        """Let it write down where its threads are."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGUSR1)
        end, size = time.monotonic() + _DUMP_SECONDS, 0
        while time.monotonic() < end:
            time.sleep(0.05)
            before, size = size, os.fstat(self._stack.fileno()).st_size
            if size and size == before:
                return

    def stop(self) -> None:
        """End it with all that it started. What it wrote is whole: files are replaced, never changed."""
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
        self._kill_group()
        with contextlib.suppress(ProcessLookupError):  # before it had a group of its own
            os.kill(self.process.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.finish()

    def finish(self) -> list[dict[str, Any]]:
        """Wait for its end, leave nothing of it behind; its last reports."""
        if self._finished:
            return []
        self._finished = True
        self.process.join()
        self._kill_group()
        heard = self.hear()
        self.output.finish()
        self.stack()
        self._stack.close()
        self._messages.close()
        os.close(self.output.fileno())
        return heard

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def wait_for(watched: list[Watched], seconds: float) -> None:
    """Sleep until one of them says or prints something or ends."""
    wait([source for one in watched for source in one.sources], timeout=seconds)


class _Handle:
    """An open file, on its way to a new process; it arrives as a number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return inside.opened, (reduction.DupFd(self._number),)


# glibc gives batch-sized blocks back after every operation and pays for them in page faults at the next:
# a fifth of a training step. It reads these at a process's start, so the fork server has to inherit them.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}


def _context() -> multiprocessing.context.ForkServerContext:
    for name, value in _KEEP_MEMORY.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dmlbench.run.preload"])
    resource_tracker.ensure_running()  # first, because it lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()  # deaf to Ctrl-C from its first moment: that is the parent's to handle
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context
