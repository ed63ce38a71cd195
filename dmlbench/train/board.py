"""Who is at work: the component whose code runs now, written where another process can read it.

A component that never returns, or takes its process down with it, can then still be named.
"""

from __future__ import annotations

import struct
from types import TracebackType
from typing import NamedTuple

_FORM = struct.Struct("<Q1016s")
SIZE = _FORM.size


class Worker(NamedTuple):
    """A component at a moment."""

    who: str
    """E.g. `loss my-losses:ring as 'term'`."""
    where: str
    """`file:line` where its code begins."""


class _Board:
    """One a process; `buffer` is private to it until `show_on` puts a shared one there."""

    def __init__(self) -> None:
        self.buffer: bytearray | memoryview = bytearray(SIZE)
        self.beats = 0
        self.worker: Worker | None = None

    def write(self, worker: Worker | None) -> None:
        self.worker = worker
        text = b"" if worker is None else f"{worker.where}\n{worker.who}".encode()
        _FORM.pack_into(self.buffer, 0, self.beats, text)


_board = _Board()


def show_on(buffer: memoryview) -> None:
    """From now on write to `buffer`, of `SIZE` bytes, which another process sees too."""
    _board.buffer = buffer


def beat() -> None:
    """Say that something was achieved that cannot be achieved for ever."""
    _board.beats += 1
    _board.write(_board.worker)


def read(buffer: bytes | memoryview) -> tuple[int, Worker | None]:
    """What `buffer` shows: how many beats so far, and who is at work; None for core itself."""
    beats, text = _FORM.unpack_from(buffer)
    where, _, who = text.rstrip(b"\0").decode("utf-8", errors="ignore").partition("\n")
    return beats, Worker(who, where) if who else None


class at_work:
    """While the block runs, `worker` is who is at work; what it raises is the worker's doing.

    A component that is called by a service for another one is named with it: `ONE -> OTHER`.
    """

    __slots__ = ("_before", "_worker")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __enter__(self) -> None:
        before = self._before = _board.worker
        if before is not None and not before.who.endswith(self._worker.who):
            self._worker = Worker(f"{before.who} -> {self._worker.who}", self._worker.where)
        elif before is not None:
            self._worker = before
        _board.write(self._worker)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _board.write(self._before)
        if error is not None and not isinstance(error, GeneratorExit) and raised_by(error) is None:
            error._dmlbench_worker = self._worker  # type: ignore[attr-defined]
            error.add_note(f"in {self._worker.who}, {self._worker.where}")


def raised_by(error: BaseException) -> Worker | None:
    """The innermost component that was at work when `error` was raised."""
    found: BaseException | None = error
    while found is not None:
        if worker := getattr(found, "_dmlbench_worker", None):
            return worker
        found = found.__cause__ or found.__context__
    return None
