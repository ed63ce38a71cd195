"""What the fresh processes of a rehearsal do. One imports the component once and forks for each cut:
a fork has what an import leaves behind, and nothing of what training does.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from dmlbench.files import read_json
from dmlbench.registry.registry import load_target, registry
from dmlbench.run.components import components_of
from dmlbench.testing.furniture import offering
from dmlbench.testing.rehearsal import Outcome, Rehearsal
from dmlbench.train.board import beat

CUTS = "cuts.json"
"""Written into the folder when the whole run has ended: the steps after which there are checkpoints."""
_AT_ONCE = 2
_Report = Callable[[dict[str, Any]], None]


def rehearse_whole(report: _Report, rehearsal: Rehearsal, saves: Sequence[int]) -> None:
    """The uninterrupted run, which leaves checkpoints."""
    report({"cut": 0, "outcome": rehearsal.run(saves=saves)})


def rehearse_again(report: _Report, rehearsal: Rehearsal) -> None:
    """The uninterrupted run once more, and then one from each checkpoint."""
    _import_components(rehearsal)
    again = _fork(rehearsal, 0)
    while not (rehearsal.folder / CUTS).exists():
        time.sleep(0.01)
        beat()  # it is the other process that is at work
    report({"cut": 0, "outcome": _outcome(*again)})
    cuts = read_json(rehearsal.folder / CUTS)
    for start in range(0, len(cuts), _AT_ONCE):
        running = [(cut, _fork(rehearsal, cut)) for cut in cuts[start : start + _AT_ONCE]]
        for cut, fork in running:
            report({"cut": cut, "outcome": _outcome(*fork)})


def _import_components(rehearsal: Rehearsal) -> None:
    spec = rehearsal.spec
    home = spec.name.partition(":")[0]
    with offering(rehearsal.entries):
        for kind, _, component in components_of(spec.method, spec.track):
            load_target(registry().find(kind, component.component, home=home))


def _fork(rehearsal: Rehearsal, cut: int) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(rehearsal, cut, theirs))
    process.start()
    theirs.close()
    return process, mine


def _send(rehearsal: Rehearsal, cut: int, answer: Connection) -> None:
    answer.send(rehearsal.run(cut))


def _outcome(process: BaseProcess, answer: Connection) -> Outcome:
    try:
        return answer.recv()
    except EOFError:  # it died without a word
        process.join()
        return Outcome(error=f"its process ended with exit status {process.exitcode}")
    finally:
        process.join()
        answer.close()
