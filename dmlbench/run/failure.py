"""From what ended a stage to what its record says: kind, message, component, last frames."""

from __future__ import annotations

import contextlib
import re
import signal
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dmlbench.run.limits import Excess, Stall
from dmlbench.train.board import Worker, raised_by

_FRAMES = 12
_LONGEST = 2000
"""Characters of an exception's own text that a record takes."""
OUT_OF_MEMORY = "OutOfMemory"
_REFUSED_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "Cannot allocate memory")
_MORE = "--memory-gib N, if it needs that much"
_LONGER = "--stall-minutes N, if a step may take longer"
_CALLING = "dmlbench/train/calling.py"
_CORE = re.compile(r"/dmlbench/(train|run|data)/|/torch/nn/modules/module\.py$|/jaxtyping/")
"""Files whose frames stand between core's call and the component's own code."""
_DUMPED = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$', re.MULTILINE)


class Frame(NamedTuple):
    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{short(self.file)}:{self.line} {self.function}"


def of_exception(error: BaseException) -> dict[str, Any]:
    """What a stage says of the exception that ended it; `log` is for the run's log alone."""
    trace = traceback.extract_tb(error.__traceback__)
    frames = [Frame(f.filename, f.lineno or 0, f.name) for f in trace]
    text = _text_of(error)
    kind = type(error).__name__
    if isinstance(error, MemoryError) or any(words in text for words in _REFUSED_MEMORY):
        kind, text = OUT_OF_MEMORY, f"{text or kind}\n  try  {_MORE}"
    if isinstance(error, SystemExit):
        text = f"it called sys.exit({error.code!r})"
    return {
        "kind": kind,
        "message": with_place(text, raised_by(error), frames),
        "frames": [str(frame) for frame in frames[-_FRAMES:]],
        "log": "".join(traceback.format_exception(error)),
    }


def of_end(stage: str, code: int | None, worker: Worker | None, stack: str) -> dict[str, Any]:
    """A stage whose process ended without a word."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        how = f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    else:
        how = f"ended with exit status {code} before it was done"
    return _from_outside("ProcessEnded", f"the stage {stage!r} {how}", worker, stack)


def of_excess(excess: Excess, worker: Worker | None, stack: str) -> dict[str, Any]:
    """A stage that was ended because it did too much of something."""
    if isinstance(excess, Stall):
        return _from_outside("Timeout", f"{excess}\n  try  {_LONGER}", worker, stack)
    return _from_outside(OUT_OF_MEMORY, f"{excess}\n  try  {_MORE}", worker, stack)


def _from_outside(kind: str, text: str, worker: Worker | None, stack: str) -> dict[str, Any]:
    frames = dumped_frames(stack)
    return {
        "kind": kind,
        "message": with_place(text, worker, frames),
        "frames": [str(frame) for frame in frames[-_FRAMES:]],
        "log": stack,
    }


def dumped_frames(stack: str) -> list[Frame]:
    """The frames, in a dump of `faulthandler`, of the thread that crashed or else of the main one."""
    threads = re.split(r"^(?=(?:Current thread|Thread) )", stack, flags=re.MULTILINE)
    crashed = [thread for thread in threads if "Fatal Python error" in stack and thread.startswith("Current")]
    chosen = (crashed or threads)[-1]  # the main thread, the oldest, is told last
    found = [Frame(m["file"], int(m["line"]), m["function"]) for m in _DUMPED.finditer(chosen)]
    return found[::-1]


def with_place(text: str, worker: Worker | None, frames: Sequence[Frame]) -> str:
    """`text` and a line that names the component and the line of its code, as far as they are known."""
    if worker is None:
        return text
    where = _in_component(frames) or _short_place(worker.where)
    first, *hints = text.split("\n  ", 1)
    return "\n  ".join([first, f"in   {worker.who}, {where}", *hints])


def _in_component(frames: Sequence[Frame]) -> str | None:
    """The innermost frame in the file of the component that was called last."""
    for start in reversed([i for i, frame in enumerate(frames) if frame.file.endswith(_CALLING)]):
        own = next((frame for frame in frames[start:] if not _CORE.search(frame.file)), None)
        if own is not None:
            return str([frame for frame in frames[start:] if frame.file == own.file][-1])
    return None


def _short_place(where: str) -> str:
    file, _, line = where.rpartition(":")
    return f"{short(file)}:{line}" if file else where


def short(filename: str) -> str:
    """A path without what names a machine or its user: from the package on, or the file's name alone."""
    parts = Path(filename).parts
    for package in ("dmlbench", "dmlbench_plugins", "torch"):
        if package in parts[:-1]:
            last = len(parts) - 1 - parts[::-1].index(package)
            return "/".join(parts[last:])
    return parts[-1] if parts else filename


def _text_of(error: BaseException) -> str:
    text = f"{type(error).__name__} without a readable text"
    with contextlib.suppress(Exception):  # the text is the component's own code too
        text = str(error)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


_REFUSED = ("No space left on device", "File too large", "Disk quota exceeded")


def with_disk_trouble(failure: dict[str, Any], root: Path) -> dict[str, Any]:
    """`failure`, with one clear line for a write that the system refused, whoever noticed it."""
    said = next((words for words in _REFUSED if words in failure["message"]), None)
    if said is None:
        return failure
    hint = "make room there, or name another folder with --out; the same command continues"
    return {**failure, "message": f"cannot write to {root}: {said}\n  try  {hint}"}
