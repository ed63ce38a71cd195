"""What a stage's process prints: kept in the run's log and shown, both up to a bound."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

_READ = 2**16
KEPT = 2**20
"""Bytes of a stage's talk that the log keeps from its beginning; of the rest it keeps the end."""
_END = 2**16
_LAST_READS = 2**6
"""More than a pipe holds; something that got away may print for ever."""
SHOWN = 2**14
"""Bytes of a stage's talk that reach the user's terminal."""


class Output:
    """The reading end of a stage's standard output and error; whoever prints more than is read, waits."""

    def __init__(self, source: int, log: Path | None, show: Callable[[str], None]) -> None:
        self._source = source
        self._log = log
        self._show = show
        self._seen = 0
        self._end: deque[bytes] = deque()
        self._line = b""
        self.open = True
        os.set_blocking(source, False)

    def fileno(self) -> int:
        return self._source

    def read(self) -> bool:
        """Take what is there, at most 64 KiB; whether there was anything."""
        try:
            piece = os.read(self._source, _READ)
        except BlockingIOError:
            return False
        if not piece:
            self.open = False
            return False
        self._present(piece)
        self._keep(piece)
        self._seen += len(piece)
        return True

    def finish(self) -> None:
        """Take what is left, write the end of what did not fit; nothing is read any more."""
        for _ in range(_LAST_READS):
            if not self.read():
                break
        self.open = False
        if self._line:
            self._show(self._line.decode(errors="replace"))
        if self._end:
            end = b"".join(self._end)[-_END:]
            left_out = self._seen - KEPT - len(end)
            self.append(f"\n… {left_out:,} bytes left out …\n" if left_out else "")
            self._write(end)

    def append(self, text: str) -> None:
        """Add to the log what no component said."""
        self._write(text.encode())

    def _keep(self, piece: bytes) -> None:
        room = max(0, KEPT - self._seen)
        if head := piece[:room]:
            self._write(head)
        if tail := piece[room:]:
            self._end.append(tail)
            while len(self._end) > 1 and sum(map(len, self._end)) - len(self._end[0]) >= _END:
                self._end.popleft()

    def _present(self, piece: bytes) -> None:
        """Show whole lines, so that those of several runs do not mix."""
        room = SHOWN - self._seen
        if room <= 0:
            return
        *lines, self._line = (self._line + piece[:room]).split(b"\n")
        for line in lines:
            self._show(line.decode(errors="replace"))
        if len(piece) > room:
            self._line = b""
            self._show("… it goes on printing" + (f", see {self._log}" if self._log else ""))

    def _write(self, data: bytes) -> None:
        if data and self._log is not None:
            with contextlib.suppress(OSError), self._log.open("ab") as file:  # the disk may be full
                file.write(data)
