"""The frozen rules as data: protocols, tracks and tasks, and the lock that pins their digests.

Own ones live below `./local`: `local/NAME/v1.toml`, `local/tracks/ID.toml`, `local/tasks/ID.toml`. They never
share a table with official ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from dmlbench.errors import UsageError, nearest
from dmlbench.spec.model import digest
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.record import Record
from dmlbench.spec.task import Task
from dmlbench.spec.toml import load_spec
from dmlbench.spec.track import Track

HERE = Path(__file__).parent
LOCAL = Path("local")
LOCK = HERE / "protocols.lock"

S = TypeVar("S", Protocol, Track, Task)


def load_protocol(name: str) -> Protocol:
    """The protocol called `name`, e.g. `zero-shot/v1`, `local/mine/v1`. Raises `UsageError` when unknown."""
    return _load(Protocol, "protocol", name)


def load_track(name: str) -> Track:
    """The track called `name`. Raises `UsageError` when unknown."""
    return _load(Track, "track", name)


def load_task(name: str) -> Task:
    """The task called `name`. Raises `UsageError` when unknown."""
    return _load(Task, "task", name)


def ids(kind: str) -> list[str]:
    """All ids of a kind (`protocol`, `track`, `task`), local ones last."""
    return [*_files(kind, HERE), *_files(kind, LOCAL)]


def frozen_ids() -> set[str]:
    """Protocols whose ranked records may stand in a ranked table, if task and track are official too."""
    return {name for name in _files("protocol", HERE) if load_protocol(name).status == "frozen"}


def is_ranked(record: Record) -> bool:
    """Whether a record's rules are all official and its protocol frozen: own tasks are compared apart."""
    if record.protocol not in frozen_ids():
        return False
    noises = ["", *(f"-{noise.id}" for noise in load_protocol(record.protocol).noises)]
    tasks = {f"{task}{noise}" for task in _files("task", HERE) for noise in noises}
    return record.task in tasks and record.track in _files("track", HERE)


def primary_of(protocol: str) -> str:
    """The metric that a protocol's tables and comparisons are about; the field's usual one for a record whose
    protocol is not here, e.g. another user's own."""
    known = {**_files("protocol", LOCAL), **_files("protocol", HERE)}
    return load_protocol(protocol).primary if protocol in known else "map_at_r"


def locked() -> dict[str, dict[str, str]]:
    """The digests as locked, by kind and id."""
    return json.loads(LOCK.read_text(encoding="utf-8"))


def current() -> dict[str, dict[str, str]]:
    """The digests as the files are now: what the lock must say."""
    loaders = {"protocol": load_protocol, "track": load_track, "task": load_task}
    return {
        kind: {name: digest(loader(name)) for name in sorted(_files(kind, HERE))}
        for kind, loader in loaders.items()
    }


def _files(kind: str, root: Path) -> dict[str, Path]:
    if kind == "protocol":
        prefix = "local/" if root == LOCAL else ""
        found = {f"{prefix}{path.parent.name}/{path.stem}": path for path in root.glob("*/v[0-9]*.toml")}
    else:
        found = {path.stem: path for path in root.glob(f"{kind}s/*.toml")}
    return dict(sorted(found.items()))


def _load(model: type[S], kind: str, name: str) -> S:
    local, official = _files(kind, LOCAL), _files(kind, HERE)
    files = {**local, **official}
    if name in local and name in official:
        raise UsageError(
            f"{name!r} is the name of an official {kind}",
            place=local[name],
            way_out="give your own another name",
        )
    if name not in files:
        raise UsageError(
            f"no {kind} named {name!r}", near=nearest(name, files), way_out=f"dmlbench list {kind}"
        )
    spec = load_spec(model, files[name])
    if spec.id != name:
        raise UsageError(
            f"the {kind} file says id = {spec.id!r}", place=files[name], way_out=f"id = {name!r}"
        )
    return spec


def write_lock() -> None:
    """Lock the files as they are. A frozen protocol must not move: `v2` instead."""
    LOCK.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


__all__ = [
    "current",
    "frozen_ids",
    "ids",
    "is_ranked",
    "load_protocol",
    "load_task",
    "load_track",
    "locked",
    "primary_of",
    "write_lock",
]
