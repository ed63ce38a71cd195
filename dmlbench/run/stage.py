"""The stages of a run, each a process of its own; its failure is told as a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmlbench.run import failure
from dmlbench.run.directory import RunDirectory
from dmlbench.run.limits import Limits
from dmlbench.run.process import Watched
from dmlbench.spec.protocol import Scored

Report = Callable[[dict[str, Any]], None]
STAGES = ("label", "train", "embed", "show", "tune", "score")
_NO_PLUGIN = Limits(stall_minutes=math.inf)
"""Core's own work: an exact search of many embeddings takes the time that it takes."""


class Stage:
    """One running stage."""

    def __init__(
        self,
        name: str,
        directory: RunDirectory,
        folder: Path,
        scored: Scored,
        *,
        limits: Limits,
        show: Callable[[str], None],
    ) -> None:
        self.name = name
        self._root = directory.root
        self.watched = Watched(
            name,
            _work,
            (name, str(directory.root), str(folder), scored),
            limits=_NO_PLUGIN if name in ("label", "show", "score") else limits,
            log=directory.output,
            show=show,
        )
        self._failure: dict[str, Any] | None = None
        self.left: list[str] = []
        """Threads and processes that it left running."""

    def hear(self) -> list[dict[str, Any]]:
        """Its reports of progress since the last call."""
        return self._sort(self.watched.hear())

    def ended(self) -> bool:
        """Whether it is over; a stage that stands still or takes too much is ended first."""
        if not self.watched.process.is_alive():
            return True
        excess = self.watched.excess()
        if excess is None:
            return False
        self.watched.dump()
        self._failure = failure.of_excess(excess, self.watched.worker, self.watched.stack())
        self.watched.stop()
        return True

    def finish(self, *, done: bool) -> dict[str, Any] | None:
        """Leave nothing behind; what went wrong, or None. `done`: whether it left the mark of its end."""
        self._sort(self.watched.finish())
        code = self.watched.process.exitcode
        if self._failure is None and (code != 0 or not done):
            self._failure = failure.of_end(self.name, code, self.watched.worker, self.watched.stack())
        if self._failure is not None:
            self._failure = failure.with_disk_trouble(self._failure, self._root)
            self.watched.output.append(f"\n{self._failure.pop('log')}\n")
        return self._failure

    def stop(self) -> None:
        """End it; the same command continues from what it wrote."""
        self.watched.stop()

    def _sort(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for message in messages:
            self._failure = self._failure or message.get("failure")
            self.left += message.get("left", [])
        return [message for message in messages if not message.keys() & {"failure", "left"}]


def _work(
    report: Callable[[dict[str, Any]], None], name: str, root: str, folder: str, scored: Scored
) -> None:
    directory, data = RunDirectory(Path(root)), Path(folder)
    if name == "label":
        from dmlbench.run.labelling import label

        label(directory, data)
    elif name == "train":
        from dmlbench.run.training import train

        train(directory, data, report)
    elif name == "embed":
        from dmlbench.run.embedding import embed

        embed(directory, data, scored)
    elif name == "show":
        from dmlbench.run.showing import show

        show(directory, data, scored)
    elif name == "tune":
        from dmlbench.run.tuning import tune

        tune(directory, data, scored, report)
    else:
        from dmlbench.run.scoring import score_run

        score_run(directory, data, scored)
