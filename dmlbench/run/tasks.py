"""What a task's name means: an official one, a file below `./local`, or data of one's own. No torch here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from dmlbench.data.place import data_home
from dmlbench.errors import UsageError, nearest
from dmlbench.files import read_json, write_json
from dmlbench.protocols import load_task
from dmlbench.registry.registry import load_target, registry
from dmlbench.spec.model import ID_PATTERN
from dmlbench.spec.task import Task

OWN = ("folder", "csv", "npz")
"""`folder:PATH`, `csv:PATH` and `npz:PATH` name data of one's own, read by the data set of that name."""


def task_named(
    name: str, *, progress: Callable[[int, int], None] | None = None, allow_partial: bool = False
) -> Task:
    """The task called `name`: an id, or `folder:PATH`, `csv:PATH`, `npz:PATH`.

    The id that own data got is known on this machine from then on, and means the same data or nothing. With
    `allow_partial` files of own data may be unreadable.

    Raises `UsageError` for a name that is unknown, `DataError` for own data that cannot be used.
    """
    kind, colon, path = name.partition(":")
    if colon and kind in OWN and path:
        return _own(kind, Path(path).expanduser().resolve(), progress, allow_partial)
    if colon:
        raise UsageError(
            f"no task named {name!r}",
            near=nearest(kind, OWN),
            way_out="folder:PATH, csv:PATH or npz:PATH for data of one's own",
        )
    if re.fullmatch(ID_PATTERN, name) and _kept(name).is_file():
        kept = read_json(_kept(name))
        task = _own(kept["kind"], Path(kept["path"]), progress, allow_partial)
        if task.id != name:
            raise UsageError(
                f"the data of task {name!r} has changed: it is task {task.id!r} now", place=task.source
            )
        return task
    if "/" in name and Path(name).exists():
        kind = "folder" if Path(name).is_dir() else Path(name).suffix.lstrip(".")
        raise UsageError(f"no task named {name!r}", way_out=f"{kind if kind in OWN else 'csv'}:{name}")
    return load_task(name)


def is_own(task: Task) -> bool:
    """Whether the task was made from a path."""
    return bool(task.source) and _kept(task.id).is_file()


def called(task: Task) -> str:
    """What the task is called in a command."""
    return f"{task.dataset.component.rpartition(':')[2]}:{task.source}" if is_own(task) else task.id


def _own(kind: str, root: Path, progress: Callable[[int, int], None] | None, allow_partial: bool) -> Task:
    from dmlbench.data.own import own_task  # looks at pictures, with Pillow and NumPy

    if not root.exists():
        raise UsageError(f"no task named '{kind}:{root}': nothing is there", place=root)
    component = f"dmlbench:{kind}"
    dataset = load_target(registry().find("dataset", component, place=f"task {kind}:{root}"))()
    task = own_task(component, dataset, root, data_home() / "own", progress, allow_partial=allow_partial)
    if not _kept(task.id).is_file() or read_json(_kept(task.id))["path"] != str(root):
        write_json(_kept(task.id), {"kind": kind, "path": str(root)})
    return task


def _kept(task_id: str) -> Path:
    """Where the path is kept that an own task was made from."""
    return data_home() / "own" / f"{task_id}.json"
