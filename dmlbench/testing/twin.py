"""The same run several times, each in a fresh process: whole, whole again, and cut and resumed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dmlbench.files import write_json, write_text
from dmlbench.registry.report import Entry
from dmlbench.run.limits import Limits
from dmlbench.run.process import Watched, wait_for
from dmlbench.spec.run import RunSpec
from dmlbench.testing.data import workspace
from dmlbench.testing.forks import CUTS, rehearse_again, rehearse_whole
from dmlbench.testing.rehearsal import Outcome, Rehearsal
from dmlbench.testing.surroundings import Scale

PATIENCE = Limits(stall_minutes=2.0)
"""A rehearsal takes well under a second; large networks take a few."""
_AGAIN = 0


class Twin:
    """Runs when it is made. `whole` and `again` start fresh; `resumed[cut]` loads what `whole` saved there.

    The fork server has torch and this package, but no plugin: nothing that a component remembers outside its
    state is there when training continues. `whole` and `again` import the component each for itself.
    """

    def __init__(self, spec: RunSpec, store: Path, entries: Sequence[Entry], scale: Scale) -> None:
        folder = Path(tempfile.mkdtemp(dir=workspace()))
        write_text(folder / "spec.json", spec.to_json())
        rehearsal = Rehearsal(folder, store, tuple(entries), scale.steps)
        first, second = _Apart(rehearse_whole, rehearsal, scale.cuts), _Apart(rehearse_again, rehearsal)
        try:
            self.whole = first.outcomes([_AGAIN])[_AGAIN]
            cuts = [cut for cut in scale.cuts if cut in self.whole.saved]
            write_json(folder / CUTS, cuts)
            self.resumed = second.outcomes([_AGAIN, *cuts])
            self.again = self.resumed.pop(_AGAIN)
        finally:
            first.watched.stop()
            second.watched.stop()


class _Apart:
    """A fresh process that rehearses; its outcomes by cut."""

    def __init__(self, work: object, *arguments: object) -> None:
        self.watched = Watched("check", work, arguments, limits=PATIENCE, log=None, show=_talk)
        self._heard: dict[int, Outcome] = {}
        self._failure = ""

    def outcomes(self, cuts: Sequence[int]) -> dict[int, Outcome]:
        """Wait for its end. One that it did not come to has an outcome that says why."""
        while self.watched.process.is_alive() and not self._failure:
            wait_for([self.watched], seconds=0.5)
            self._hear(self.watched.hear())
            if excess := self.watched.excess():
                worker = self.watched.worker
                self._failure = f"{excess}, in {worker.who}" if worker else str(excess)
                self.watched.stop()
        self._hear(self.watched.finish())
        if not self._failure:
            self._failure = f"its process ended with exit status {self.watched.process.exitcode}"
        return {cut: self._heard.get(cut, Outcome(error=self._failure)) for cut in cuts}

    def _hear(self, messages: Sequence[dict[str, object]]) -> None:
        for message in messages:
            if "outcome" in message:
                self._heard[message["cut"]] = message["outcome"]
            elif "failure" in message:
                self._failure = message["failure"]["message"]


def _talk(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
