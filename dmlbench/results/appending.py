"""Appending a line to a file that several processes write; no crash or full disk leaves half of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from filelock import FileLock, Timeout

from dmlbench.errors import ResultsError

#: An append takes milliseconds; who waits this long waits for a process that hangs.
LOCK_SECONDS = 60


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that all writers of `path` take (`.<name>.lock` beside it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise ResultsError(
            f"another process has held the lock for {LOCK_SECONDS} seconds",
            place=path,
            way_out="end that process, or wait for it, and try again",
        ) from error
    try:
        yield
    finally:
        lock.release()


def append_line(path: Path, line: bytes) -> None:
    """Append `line` (which ends in a newline), sync it and read it back. Call it under `locked(path)`.

    What an earlier crash left after the last newline moves to `<name>.torn` first. When writing fails, e.g.
    on a full disk, the file gets its old length back and a `ResultsError` names it.
    """
    # Unbuffered: a buffer would try to write its rest again when the file is closed.
    with FileIO(path, "a+") as file:
        repair(path, file)
        before = file.seek(0, os.SEEK_END)
        try:
            _write(file, line)
            file.seek(before)
            if file.read() != line:
                raise OSError("what was read back is not what was written")
        except OSError as error:
            file.truncate(before)
            os.fsync(file.fileno())
            raise ResultsError(
                f"cannot append a record: {error.strerror or error}",
                place=path,
                way_out="the file is as it was; make room or mend the disk, then add the record again",
            ) from error


def repair(path: Path, file: FileIO) -> None:
    """Move what follows the last newline of `file` to the end of `<name>.torn`; nothing is lost."""
    file.seek(0)
    content = file.readall()
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return
    with FileIO(path.with_name(f"{path.name}.torn"), "a") as torn:
        _write(torn, content[whole:] + b"\n")
    file.truncate(whole)


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())
