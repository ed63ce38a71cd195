"""What a user sees while runs go: a live table on a terminal, a plain line per finished run elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmlbench.run.planner import Planned
from dmlbench.spec.record import Outcome, Record


def label(planned: Planned) -> str:
    """`das seed 0`: short and unique inside a command."""
    noise = f" {planned.spec.noise.id}" if planned.spec.noise else ""
    part = f" ({planned.part})" if planned.part else ""
    return f"{planned.spec.name.removeprefix('dmlbench:')}{noise} seed {planned.spec.seed}{part}"


def summary(planned: Planned, record: Record, *, cached: bool, log: Path | None = None) -> str:
    """One line for a finished run; a failure adds where it was, the way out, and its log."""
    if record.outcome.status == "failed":
        more = f"\n  log  {log}" if log else ""
        return f"{label(planned)}  FAILED  {_failure(record.outcome)}{more}"
    primary = planned.spec.protocol.primary
    shown = dict.fromkeys(("recall_at_1", primary))
    values = "  ".join(f"{name} {record.metrics[name]:.4f}" for name in shown if name in record.metrics)
    seconds = record.seconds.get("train", 0.0)
    rate = f"  {record.images_seen / seconds:,.0f} images/s" if seconds and record.images_seen else ""
    origin = "  (from its record)" if cached else f"  {sum(record.seconds.values()):.1f} s{rate}"
    return f"{label(planned)}  {record.scored}  {values}{origin}"


def _failure(outcome: Outcome) -> str:
    first, *rest = (outcome.message or "").splitlines() or [""]
    hints = [line for line in rest if line.startswith(("  in ", "  near ", "  try "))]
    if outcome.frames and not any(line.startswith("  in ") for line in hints):
        hints.insert(0, f"  in   {outcome.frames[-1]}")
    return "\n".join([f"{outcome.kind}: {first}", *hints])


class PlainDisplay:
    """A line per finished run on standard error."""

    def started(self, planned: Planned) -> None: ...

    def progress(self, planned: Planned, stage: str, message: dict[str, Any]) -> None: ...

    def said(self, planned: Planned, line: str) -> None:
        print(f"{label(planned)}: {line}", file=sys.stderr, flush=True)

    def finished(self, planned: Planned, record: Record, *, cached: bool, log: Path | None = None) -> None:
        print(summary(planned, record, cached=cached, log=log), file=sys.stderr, flush=True)


class LiveDisplay:
    """A bar for each run under way: images/s, loss, best validation score, time left; fits 80 columns."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[what]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._all = self._bars.add_task("all runs", total=total, what=f"0 of {total}")
        self._total = total
        self._done = 0
        self._tasks: dict[tuple[str, str], Any] = {}
        self._since: dict[tuple[str, str], tuple[float, int]] = {}

    def __enter__(self) -> LiveDisplay:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def started(self, planned: Planned) -> None:
        total = planned.spec.budget or None
        self._tasks[_key(planned)] = self._bars.add_task(label(planned), total=total, what="starting")

    def progress(self, planned: Planned, stage: str, message: dict[str, Any]) -> None:
        images = message.get("images", 0)
        started, before = self._since.setdefault(_key(planned), (time.monotonic(), images))
        elapsed = time.monotonic() - started
        parts = [stage]
        if elapsed > 0 and images > before:
            parts.append(f"{(images - before) / elapsed:,.0f} img/s")
        if message.get("loss") is not None:
            parts.append(f"loss {message['loss']:.3f}")
        if message.get("validation") is not None:
            parts.append(f"best {message['validation']:.3f}")
        self._bars.update(self._tasks[_key(planned)], completed=images, what=" ".join(parts))

    def said(self, planned: Planned, line: str) -> None:
        self._bars.console.print(f"{label(planned)}: {line}", highlight=False, markup=False, soft_wrap=True)

    def finished(self, planned: Planned, record: Record, *, cached: bool, log: Path | None = None) -> None:
        task = self._tasks.pop(_key(planned), None)
        if task is not None:
            self._bars.remove_task(task)
        self._done += 1
        self._bars.update(self._all, completed=self._done, what=f"{self._done} of {self._total}")
        line = summary(planned, record, cached=cached, log=log)
        self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def display(total: int) -> Iterator[PlainDisplay | LiveDisplay]:
    """The live display on a terminal, the plain one elsewhere."""
    if sys.stderr.isatty():
        with LiveDisplay(total) as live:
            yield live
    else:
        yield PlainDisplay()


def _key(planned: Planned) -> tuple[str, str]:
    return planned.spec.key, planned.scored
