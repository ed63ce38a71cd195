"""Fetching the files that a data set's authors publish."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from dmlbench.data.items import Dataset, Download
from dmlbench.errors import DataError
from dmlbench.files import replacing

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60


def download(
    dataset: Dataset, root: Path, *, check: bool = True, progress: Callable[[str, int], None] | None = None
) -> None:
    """Put the data set's files into `root`; files that are there already are left as they are.

    A file appears under its name only when it is whole and, unless `check` is False, has the published sum.
    `progress(filename, bytes_so_far)` is called after each block. `DataError` when there is nothing to
    download, the network fails or the sum differs.
    """
    if not dataset.downloads:
        raise DataError(
            f"{type(dataset).__name__} publishes nothing that can be fetched without asking its authors",
            way_out="get the files and name their folder with --from",
        )
    for wanted in dataset.downloads:
        if not (root / wanted.filename).is_file():
            _fetch(wanted, root / wanted.filename, check, progress)


def _fetch(wanted: Download, target: Path, check: bool, progress: Callable[[str, int], None] | None) -> None:
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    size = 0
    with replacing(target) as temporary:
        try:
            with (
                urllib.request.urlopen(wanted.url, timeout=_TIMEOUT_SECONDS) as answer,
                temporary.open("wb") as file,
            ):
                while block := answer.read(_BLOCK_BYTES):
                    file.write(block)
                    size += len(block)
                    for one in sums.values():
                        one.update(block)
                    if progress is not None:
                        progress(wanted.filename, size)
        except (OSError, HTTPException) as error:
            raise DataError(
                f"{wanted.filename} could not be fetched: {error}",
                place=wanted.url,
                way_out=f"put the file into {target.parent} by other means",
            ) from error
        if check:
            _compare(wanted, size, {name: one.hexdigest() for name, one in sums.items()})


def _compare(wanted: Download, size: int, sums: dict[str, str]) -> None:
    facts = (
        ("bytes", wanted.size, size),
        ("sha256", wanted.sha256, sums["sha256"]),
        ("md5", wanted.md5, sums["md5"]),
    )
    for name, published, found in facts:
        if published is not None and published != found:
            raise DataError(
                f"{wanted.filename} is not the published file: {name} {found}, published {published}",
                place=wanted.url,
                way_out="fetch it again later, or check the address",
            )
