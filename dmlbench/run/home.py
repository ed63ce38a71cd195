"""Where prepared data lies, and getting it there."""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from dmlbench.data.decoding import Workers, cores
from dmlbench.data.items import Dataset
from dmlbench.data.place import data_home as data_home
from dmlbench.data.prepare import prepare
from dmlbench.data.store import Prepared
from dmlbench.data.unpack import is_archive, unpack
from dmlbench.errors import DataError
from dmlbench.registry.registry import load_target, registry
from dmlbench.run.tasks import called
from dmlbench.spec.task import Task
from dmlbench.spec.track import ImagePipeline
from dmlbench.train.settings import resolve_settings


def dataset_of(task: Task) -> Dataset:
    """The task's data set plugin, with its settings."""
    return _maker(task)()


def _maker(task: Task) -> Callable[[], Dataset]:
    """Makes the data set, here or in a process that this is pickled to."""
    entry = registry().find("dataset", task.dataset.component, place=f"task {task.id}")
    target = load_target(entry)
    return functools.partial(target, **resolve_settings(target, task.dataset.settings, task.id))


def _opened(root: Path, dataset: Dataset, progress: Callable[[str, int], None] | None) -> Path:
    """`root`, or the folder that an archive there was unpacked to."""
    if not root.is_file() or not is_archive(root) or (zipfile.is_zipfile(root) and _reads_zip(dataset)):
        return root
    with root.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    folder = data_home() / "unpacked" / name
    unpack(root, folder, progress=progress)
    return folder


def _reads_zip(dataset: Dataset) -> bool:
    return bool(getattr(dataset, "reads_zip", False))


def ready(
    task: Task,
    images: ImagePipeline,
    *,
    root: Path | None = None,
    check: bool = True,
    allow_partial: bool = False,
    progress: Callable[[int, int], None] | None = None,
    unpacked: Callable[[str, int], None] | None = None,
    jobs: int | None = None,
) -> Prepared:
    """The prepared data of `task`: as it is there, made from installed packages, or made from `root`.

    `root` is where the task says that its files are, if it says so; an archive that its data set does not
    read is unpacked first, and `unpacked(name, bytes_so_far)` called meanwhile. At most `jobs` processes
    decode, as many as there are cores unless given.

    Raises `DataError` when the data set has to be fetched first, when it is not what the task names, and when
    what was prepared has been damaged since.
    """
    name = called(task)
    if root is None and task.source:
        root = Path(task.source)
    if root is not None and not root.exists():
        raise DataError(
            "no such folder or file", place=root, way_out=f"dmlbench data prepare {name} --from FOLDER"
        )

    def damaged(error: Exception) -> DataError:
        return DataError(
            f"the prepared data is damaged: {type(error).__name__}: {error}",
            place=data_home() / task.id,
            way_out=f"delete the folder, then dmlbench data prepare {name}",
        )

    make = _maker(task)
    dataset = make()
    source = _opened(root, dataset, unpacked) if root else None
    try:
        data = prepare(
            task,
            images,
            dataset,
            source,
            data_home(),
            allow_partial=allow_partial,
            check=check,
            progress=progress,
            workers=Workers(jobs or cores(), make, source),
        )
    except json.JSONDecodeError as error:
        raise damaged(error) from error
    try:
        _ = data.images, data.train, data.validation, data.test_rows
    except (json.JSONDecodeError, KeyError, FileNotFoundError) as error:
        raise damaged(error) from error
    return data
