"""A stage as a process of its own: started from a clean fork server, watched, its failure told as a value.

The fork server has imported torch and this package, but no plugin, so a stage starts in milliseconds and
the scorer stays free of plugin code.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dmlbench.run.directory import RunDirectory
from dmlbench.spec.protocol import Scored

STAGES = ("train", "embed", "score")
THREADS = 1
"""Of torch in each stage: two threads give other bits than one. `--jobs` fills the cores."""
_FRAMES = 6


class Stage:
    """One running stage; `messages` is where its progress arrives."""

    def __init__(self, name: str, directory: RunDirectory, folder: Path, scored: Scored) -> None:
        self.name = name
        context = _context()
        self.messages, child = context.Pipe(duplex=False)
        arguments = (name, str(directory.root), str(folder), scored, child)
        self.process = context.Process(target=_run_stage, args=arguments, name=f"dmlbench-{name}")
        self.process.start()
        child.close()

    def stop(self) -> None:
        """End the process; what it wrote is whole, and the same command continues from there."""
        self.process.terminate()
        self.process.join()


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


def _run_stage(name: str, root: str, folder: str, scored: Scored, messages: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.dup2(2, 1)  # what a plugin prints is talk, not data
    import torch

    torch.set_num_threads(THREADS)
    directory = RunDirectory(Path(root))
    try:
        _work(name, directory, Path(folder), scored, messages)
    except Exception as error:
        failure = _failure(error, directory)
        messages.send({"failure": failure})  # not by a file: the disk may be full
        if os.environ.get("DMLBENCH_TRACEBACK"):
            traceback.print_exc()
        sys.exit(1)


def _work(name: str, directory: RunDirectory, folder: Path, scored: Scored, messages: Connection) -> None:
    if name == "train":
        from dmlbench.run.training import train

        train(directory, folder, messages.send)
    elif name == "embed":
        from dmlbench.run.embedding import embed

        embed(directory, folder, scored)
    else:
        from dmlbench.run.scoring import score_run

        score_run(directory, folder, scored)


def _die_with_parent() -> None:
    """An orphan would go on writing into a run that somebody else may have taken up again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _failure(error: Exception, directory: RunDirectory) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {
        "kind": type(error).__name__,
        "message": _disk_trouble(error, directory) or str(error),
        "frames": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }


_REFUSED = ("No space left on device", "File too large", "Disk quota exceeded")


def _disk_trouble(error: Exception, directory: RunDirectory) -> str | None:
    """The one clear line for a write that the system refused, whoever noticed it."""
    text = str(error)
    said = next((words for words in _REFUSED if words in text), None)
    if said is None:
        return None
    hint = "make room there, or name another folder with --out; the same command continues"
    return f"cannot write to {directory.root}: {said}\n  try  {hint}"


def _short(filename: str) -> str:
    """A path without what names a machine or its user: from the package on, or the file's name alone."""
    parts = Path(filename).parts
    for package in ("dmlbench", "dmlbench_plugins", "torch"):
        if package in parts[:-1]:
            last = len(parts) - 1 - parts[::-1].index(package)
            return "/".join(parts[last:])
    return parts[-1]
