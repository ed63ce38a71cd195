"""A task's store: found, or made by one process while the others wait."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from dmlbench.data.build import Build, Progress, manifest
from dmlbench.data.decoding import Workers
from dmlbench.data.items import Dataset, Item
from dmlbench.data.listing import items_of
from dmlbench.data.store import META, STORE_FORMAT, Prepared
from dmlbench.errors import DataError
from dmlbench.files import read_json, write_json
from dmlbench.spec.model import digest
from dmlbench.spec.task import Task
from dmlbench.spec.track import ImagePipeline


def prepare(
    task: Task,
    images: ImagePipeline,
    dataset: Dataset,
    root: Path | None,
    home: Path,
    *,
    allow_partial: bool = False,
    check: bool = True,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Prepared:
    """The store of `task` under `home`, made from the data set at `root` unless it is there already.

    The folder is `home/TASK/KEY`; the key digests task, size, form, channels and the versions of what draws
    the pictures, and where the task has no fingerprint, or another one is let pass, also the list of items.
    So a store never changes once it is there, and it appears complete or not at all. A lock lets one process
    build while others wait and then reuse. `progress(done, total)` is called after each picture. With
    `workers` several processes decode where there is much to decode; the store is the same.

    `allow_partial` leaves unreadable pictures out and lists them in a store of its own, unless a complete one
    is there; `check=False` accepts pictures whose fingerprint is not the task's. `root` may be None for data
    that has no files, or that is prepared already: with a fingerprint it is known by that, without one it is
    the complete data that was prepared last.

    Raises `DataError` for missing, unreadable or other data than the task names, and when writing fails.
    """
    key = {
        "task": digest(task),
        "size": images.stored,
        "channels": images.channels,
        "versions": dataset.versions(),
        "format": STORE_FORMAT,
        **({"whole": True} if images.whole else {}),
    }
    place = home / task.id
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".lock"):
            official = _folder(place, key)
            if (official / META).is_file():
                return Prepared.open(official)
            latest = official.with_suffix(".latest")
            if root is None and dataset.needs_root:
                if latest.is_file():
                    return Prepared.open(place / read_json(latest)["store"])
                if not allow_partial:
                    _refuse_part(place, task)
            items = items_of(dataset, root)
            key["items"] = manifest(items)
            loose, partial = _folder(place, key), _folder(place, key | {"partial": True})
            reusable = [loose] * (task.fingerprint is None or not check) + [partial] * allow_partial
            folder = next((folder for folder in reusable if (folder / META).is_file()), None)
            if folder is None:
                lacks = _lacks(dataset, items, allow_partial)
                with _building(place) as building:
                    build = Build(task, images, dataset, allow_partial, check, progress, workers, lacks)
                    meta = build.write(items, building)
                    as_named = meta["fingerprint"] == task.fingerprint
                    folder = partial if meta["left_out"] or lacks else official if as_named else loose
                    shutil.rmtree(folder, ignore_errors=True)  # a store that lost its meta data
                    building.rename(folder)
            if folder == loose and task.fingerprint is None and dataset.needs_root:
                write_json(latest, {"store": folder.name})
            return Prepared.open(folder)
    except OSError as error:
        raise DataError(
            f"cannot write the prepared data: {error.strerror}",
            place=error.filename or place,
            way_out="make room there and issue the command again",
        ) from error


def _refuse_part(place: Path, task: Task) -> None:
    """`DataError` where a part of the data is prepared and nobody said where the rest is."""
    for file in sorted(place.glob(f"*/{META}")):
        if read_json(file)["format"] != STORE_FORMAT:
            continue
        data = Prepared.open(file.parent)
        if data.left_out or data.lacks:
            raise DataError(
                "only a part of the data set is prepared here, and runs take complete data: "
                + (data.lacks or f"{data.left_out[0]} was left out, {len(data.left_out)} in all"),
                place=data.folder,
                way_out=f"dmlbench data prepare {task.id} --from the whole of it",
            )


def _folder(place: Path, key: dict[str, Any]) -> Path:
    return place / digest(key).removeprefix("sha256:")[:12]


@contextlib.contextmanager
def _building(place: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards unless it was given another name."""
    folder = place / ".building"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lacks(dataset: Dataset, items: Sequence[Item], allow_partial: bool) -> str:
    """What `items` are short of, in the data set's own words; empty when they are all or it does not say."""
    check_counts = getattr(dataset, "check_counts", None)
    try:
        if check_counts is not None:
            check_counts(items)
    except DataError as error:
        if not allow_partial:
            raise
        return error.message
    return ""
