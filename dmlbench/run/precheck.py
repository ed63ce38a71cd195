"""Building each recipe once before any run starts: a wrong signature is an error now and not in a worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dmlbench.data.gallery import roles_of
from dmlbench.data.store import Prepared
from dmlbench.errors import DmlbenchError
from dmlbench.run.assemble import build_recipe
from dmlbench.run.clusters import dealt
from dmlbench.run.directory import RunDirectory
from dmlbench.run.finished import check_finished
from dmlbench.run.labelling import told
from dmlbench.run.limits import Limits
from dmlbench.run.planner import Planned
from dmlbench.run.process import Watched, wait_for
from dmlbench.run.teaching import as_if_taught
from dmlbench.spec.run import RunSpec
from dmlbench.train.board import beat

_LONGEST_MINUTES = 1.0
"""Of building one recipe. What takes longer is not checked: its runs have the user's own limit."""


def precheck(
    runs: Sequence[Planned], data: Prepared, out: Path, *, fresh: bool = False, limits: Limits | None = None
) -> None:
    """Build the recipe of every method in `runs` that no earlier command has built in `out`, once for each
    protocol and track: a teacher and a plain student may be of one method.

    Raises `ContractError`, `UsageError` or `SpecError` for what a recipe refuses: an unknown name in a
    signature, `*args`, a misspelt event; `DataError` for validation items that cannot be ranked. A component
    that fails in any other way, or takes its process with it, fails in its own runs.
    """
    first: dict[tuple[str, str, str], RunSpec] = {}
    for spec in (planned.spec for planned in runs):
        first.setdefault((spec.name, spec.protocol.id, spec.track.id), spec)
    lists = {planned.spec.key: planned.noise_list for planned in runs}
    todo = list(first.values())
    if not fresh:
        todo = [spec for spec in todo if not RunDirectory(out / spec.key).components.exists()]
    bounds = limits or Limits()
    bounds = Limits(min(bounds.stall_minutes, _LONGEST_MINUTES), bounds.memory_gib, bounds.by_system)
    while todo:
        built = _build_apart(todo, [lists[spec.key] for spec in todo], data.folder, out, bounds)
        todo = todo[built + 1 :]  # the one after the last that was built has ended the process


def _build_apart(
    specs: Sequence[RunSpec], lists: Sequence[str | None], folder: Path, out: Path, limits: Limits
) -> int:
    """Build the recipes in a process of its own; how many it came through."""
    work = (specs, lists, str(folder), str(out))
    process = Watched("check", _build_all, work, limits=limits, log=None, show=_talk)
    reports: list[dict[str, Any]] = []
    try:
        while process.process.is_alive() and not process.excess():
            wait_for([process], seconds=0.5)
            reports += process.hear()
        if not process.process.is_alive():
            reports += process.finish()
    finally:
        process.stop()
    for report in reports:
        if refused := report.get("refused"):
            raise refused
    return sum("built" in report for report in reports)


def _build_all(
    report: Callable[[dict[str, Any]], None],
    specs: Sequence[RunSpec],
    lists: Sequence[str | None],
    folder: str,
    out: str,
) -> None:
    data = Prepared.open(Path(folder))
    for spec, listed in zip(specs, lists, strict=True):
        try:
            if spec.protocol.gallery is not None:
                roles_of(spec.protocol.gallery, "validation", data.validation, f"task {spec.task.id}")
            # Not even here does a component see a true label where there is noise.
            train = dealt(spec, data) if spec.protocol.pseudo_labels else told(spec, data, listed)[0]
            check_finished(spec, build_recipe(as_if_taught(spec, Path(out)), train, Path(out)).teacher)
        except DmlbenchError as error:
            report({"refused": error})
            return
        except Exception:  # its run meets it too, and writes it down with its frames
            pass
        report({"built": spec.name})
        beat()


def _talk(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
