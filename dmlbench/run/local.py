"""The local engine: runs side by side on this machine, each stage a process."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from dmlbench.data.store import TRAIN
from dmlbench.errors import RunError
from dmlbench.files import write_json, write_text
from dmlbench.results.line import decode
from dmlbench.run.directory import RunDirectory
from dmlbench.run.display import label
from dmlbench.run.limits import Limits
from dmlbench.run.planner import Planned
from dmlbench.run.process import wait_for
from dmlbench.run.recording import failed_record, new_run_id, write_record
from dmlbench.run.stage import STAGES, Stage
from dmlbench.spec.record import Record

_POLL = 0.5
"""Seconds between looks at runs that another process holds."""


class Observer(Protocol):
    """Who is told how runs go; see `dmlbench.run.display`."""

    def started(self, planned: Planned) -> None: ...

    def progress(self, planned: Planned, stage: str, message: dict[str, object]) -> None: ...

    def said(self, planned: Planned, line: str) -> None: ...

    def finished(
        self, planned: Planned, record: Record, *, cached: bool, log: Path | None = None
    ) -> None: ...


@dataclass
class _Active:
    """A run under way."""

    planned: Planned
    directory: RunDirectory
    lock: FileLock
    run_id: str = field(default_factory=new_run_id)
    stage: Stage | None = None


def run_all(
    waves: Sequence[Sequence[Planned]],
    folder: Path,
    out: Path,
    *,
    jobs: int,
    observer: Observer,
    committed: Callable[[str, str], Record | None],
    limits: Limits | None = None,
    fresh: bool = False,
) -> list[Record]:
    """Make every run that is not done yet, `jobs` at a time, a wave after the other; the records of the last.

    `folder` is the prepared data. `committed(run_key, scored)` finds a record that counts as done, in the
    last wave: what others build on has to lie in `out`. A run that fails, or goes beyond `limits`, leaves a
    failed record and stops none of the others but those of later waves that need it. An interrupted call
    can be issued again: finished stages are kept, training continues from its checkpoint. With `fresh`,
    earlier runs of the last wave are moved aside before anything starts.

    Raises `RunError` when `out` cannot be written, and with `fresh` when another process is at a run.
    """
    engine = _Engine(folder, out, observer, committed, limits or Limits())
    active: list[_Active] = []
    try:
        if fresh:
            for planned in waves[-1]:
                engine.set_aside(planned)
        for wave in waves:
            waiting: deque[Planned] = deque(wave)
            while waiting or active:
                while waiting and len(active) < jobs:
                    candidate = engine.begin(waiting, last=wave is waves[-1])
                    if candidate is None:
                        break
                    active.append(candidate)
                active = [run for run in active if engine.advance(run)]
                engine.listen(active)
    except OSError as error:
        raise RunError(
            f"cannot write to {out}: {error.strerror or error}",
            place=error.filename,
            way_out="make room there, or name another folder with --out; the same command continues",
        ) from error
    finally:
        for run in active:
            if run.stage is not None:
                run.stage.stop()
            run.lock.release()
    return [engine.records[(planned.spec.key, planned.scored)] for planned in waves[-1]]


class _Engine:
    def __init__(
        self,
        folder: Path,
        out: Path,
        observer: Observer,
        committed: Callable[[str, str], Record | None],
        limits: Limits,
    ) -> None:
        self._folder = folder
        self._out = out
        self._observer = observer
        self._committed = committed
        self._limits = limits
        self.records: dict[tuple[str, str], Record] = {}

    def set_aside(self, planned: Planned) -> None:
        """Move an earlier run of the same key to `.old/`; nothing is deleted."""
        root = self._out / planned.spec.key
        if not root.exists():
            return
        try:
            lock = FileLock(root / ".lock").acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                "another process is at this run", place=root, way_out="wait for it, or leave --fresh out"
            ) from error
        with lock:
            aside = self._out / ".old" / f"{planned.spec.key}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            root.rename(aside)

    def begin(self, waiting: deque[Planned], *, last: bool) -> _Active | None:
        """The next run that is neither done nor in vain nor held by another process; None when there is none
        now. In the `last` wave a committed record will do."""
        for _ in range(len(waiting)):
            planned = waiting.popleft()
            directory = RunDirectory(self._out / planned.spec.key)
            key = (planned.spec.key, planned.scored)
            done = self.records.get(key) or _stored(directory, planned)
            if done is None and last:
                done = self._committed(*key)
            if done is not None:
                self._finish(planned, done, cached=True)
                continue
            if (missing := self._missing(planned)) is not None:
                why = f"not started, for it needs {label(missing)}, which failed"
                failure = {"kind": "RunError", "message": why}
                self._finish(planned, failed_record(planned, new_run_id(), failure), cached=False)
                continue
            directory.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(directory.root / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:  # somebody else is at it: their record will be ours
                waiting.append(planned)
                continue
            if (done := _stored(directory, planned)) is not None:  # it has just ended in another process
                lock.release()
                self._finish(planned, done, cached=True)
                continue
            if not directory.spec.exists():
                write_text(directory.spec, planned.spec.to_json())
            if planned.noise_list is not None:
                write_text(directory.noise_list, planned.noise_list)
            directory.output.unlink(missing_ok=True)
            self._observer.started(planned)
            return _Active(planned, directory, lock)
        return None

    def _missing(self, planned: Planned) -> Planned | None:
        """A run that `planned` needs and that has failed."""
        for need in planned.needs:
            record = self.records.get((need.spec.key, need.scored))
            if record is not None and record.outcome.status == "failed":
                return need
        return None

    def advance(self, run: _Active) -> bool:
        """Take note of a stage that ended and start the next; False when the run is over."""
        if run.stage is not None:
            if not run.stage.ended():
                return True
            stage, run.stage = run.stage, None
            failure = stage.finish(done=self._next_stage(run) != stage.name)
            if stage.left:
                what = f"left running by the stage {stage.name!r}, ended: {', '.join(stage.left)}"
                self._observer.said(run.planned, what)
            if failure is not None:
                self._end(run, failed_record(run.planned, run.run_id, failure))
                return False
        name = self._next_stage(run)
        if name is None:
            self._end(run, write_record(run.planned, run.directory, run.run_id))
            return False
        run.stage = Stage(
            name,
            run.directory,
            self._folder,
            run.planned.scored,
            limits=self._limits,
            show=partial(self._observer.said, run.planned),
        )
        return True

    def listen(self, active: Sequence[_Active]) -> None:
        """Sleep until a stage says something or ends."""
        stages = [(run, run.stage) for run in active if run.stage is not None]
        wait_for([stage.watched for _, stage in stages], _POLL)
        for run, stage in stages:
            for message in stage.hear():
                self._observer.progress(run.planned, stage.name, message)

    def _next_stage(self, run: _Active) -> str | None:
        """The first stage whose mark is missing."""
        scored, directory = run.planned.scored, run.directory
        marks = {
            "label": directory.labels / TRAIN,
            "train": directory.trained,
            "embed": directory.embedded(scored),
            "show": directory.shown(scored),
            "tune": directory.tuning(scored),
            "score": directory.scores(scored),
        }
        if not run.planned.spec.told_apart:
            del marks["label"]
        if not run.planned.spec.tunes:
            del marks["show"], marks["tune"]
        return next((stage for stage in STAGES if stage in marks and not marks[stage].exists()), None)

    def _end(self, run: _Active, record: Record) -> None:
        if record.outcome.status == "failed":
            with contextlib.suppress(OSError):  # a full disk may be what it failed of
                write_json(run.directory.record(run.planned.scored), record.model_dump(mode="json"))
        run.lock.release()
        self._finish(run.planned, record, cached=False, log=run.directory.output)

    def _finish(self, planned: Planned, record: Record, *, cached: bool, log: Path | None = None) -> None:
        self.records[(planned.spec.key, planned.scored)] = record
        self._observer.finished(planned, record, cached=cached, log=log if log and log.exists() else None)


def _stored(directory: RunDirectory, planned: Planned) -> Record | None:
    """The record that an earlier call left here, if it is of this very run."""
    path = directory.record(planned.scored)
    if not path.exists():
        return None
    record = decode(path.read_bytes(), place=path)
    if record.run_key != planned.spec.key:
        raise RunError("the record here is of another run", place=path, way_out="--fresh moves it aside")
    return record if record.outcome.status == "ok" else None
