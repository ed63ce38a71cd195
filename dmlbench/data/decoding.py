"""Reading many pictures, in several processes where that pays; the order and the bytes are those of one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from dmlbench.data.items import Dataset, Item
from dmlbench.data.pictures import ReadPicture, UnreadablePicture, read_picture
from dmlbench.errors import DataError

TRIAL_SECONDS = 1.0
"""Processor time after which it is known what the rest will take; that of a busy machine tells nothing."""
WORTH_SECONDS = 5.0
"""Processor time left at which others are started: each needs about 1.5 s to be ready."""
_CHUNK_SECONDS = 0.25
_MOST_IN_CHUNK = 256
_AHEAD = 3
"""Chunks a process that may be read before they are written."""

Decoded = ReadPicture | UnreadablePicture
"""A picture, or why there is none."""


@dataclass(frozen=True)
class Workers:
    """How to read in several processes."""

    jobs: int
    """As many at most."""
    remake: Callable[[], Dataset]
    """Makes the data set anew in each; can be pickled."""
    root: Path | None
    """Where its items are."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode(
    dataset: Dataset,
    items: Sequence[Item],
    size: int,
    channels: int,
    workers: Workers | None = None,
    *,
    whole: bool = False,
) -> Iterator[Decoded]:
    """Each item as `read_picture` reads it, in the order of `items`; closing the iterator ends what it began.

    Raises what `read_picture` does but for `UnreadablePicture`, at the item in question, and `DataError` when
    a process ends by itself.
    """
    started, done = time.process_time(), 0
    several = workers is not None and workers.jobs > 1
    for done, item in enumerate(items, start=1):
        yield _read(dataset, item, size, channels, whole)
        elapsed = time.process_time() - started
        if several and elapsed >= TRIAL_SECONDS:
            if elapsed / done * (len(items) - done) >= WORTH_SECONDS:
                break
            several = False
    if workers is not None and done < len(items):
        chunk = max(1, min(_MOST_IN_CHUNK, int(_CHUNK_SECONDS * done / elapsed)))
        yield from _decode_apart(items[done:], (size, channels, whole), workers, chunk)


def _read(dataset: Dataset, item: Item, size: int, channels: int, whole: bool) -> Decoded:
    try:
        return read_picture(dataset, item, size, channels, whole=whole)
    except UnreadablePicture as error:
        return error


def _decode_apart(
    items: Sequence[Item], form: tuple[int, int, bool], workers: Workers, chunk: int
) -> Iterator[Decoded]:
    chunks = iter([items[at : at + chunk] for at in range(0, len(items), chunk)])
    pool = ProcessPoolExecutor(
        workers.jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(workers.remake, workers.root, form),
    )
    pending: deque[Future[list[Decoded]]] = deque()
    try:
        while True:
            while len(pending) < _AHEAD * workers.jobs and (more := next(chunks, None)) is not None:
                pending.append(pool.submit(_read_all, more))
            if not pending:
                return
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            "a process that reads pictures has ended by itself",
            way_out="more memory, or one process: --jobs 1",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


# In the other processes


def _start(remake: Callable[[], Dataset], root: Path | None, form: tuple[int, int, bool]) -> None:
    """Get ready to read. Ctrl-C is for the command, and when that dies this process ends too."""
    global _reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # what a plugin prints is talk
    threading.Thread(target=_end_with_parent, daemon=True).start()
    dataset = remake()
    dataset.items(root)
    _reader = dataset, *form


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_reader: tuple[Dataset, int, int, bool] | None = None


def _read_all(items: Sequence[Item]) -> list[Decoded]:
    assert _reader is not None
    dataset, *form = _reader
    return [_read(dataset, item, *form) for item in items]
