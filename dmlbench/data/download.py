"""Getting the files that a data set's authors publish."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from dmlbench.data.items import Dataset, Download
from dmlbench.data.part import Part, Progress
from dmlbench.data.unpack import folder_name, unpack
from dmlbench.errors import DataError


def download(
    dataset: Dataset,
    root: Path,
    *,
    check: bool = True,
    accept_terms: bool = False,
    progress: Progress | None = None,
) -> None:
    """Put the data set's files into `root`, archives unpacked where the data set wants it.

    Files that are there already are left as they are. A file appears under its name only when it is whole
    and, unless `check` is False, has the published size and sums. An interrupted call goes on where it was.
    `progress(filename, bytes_so_far)` is called after each block.

    `DataError` when there is nothing to fetch, terms are not accepted, no address gives the file or the file
    is another; it says what a person can do.
    """
    if not dataset.downloads:
        raise DataError(
            f"{type(dataset).__name__} publishes nothing that can be fetched without asking its authors",
            way_out="get the files and name their folder with --from",
        )
    missing = [wanted for wanted in dataset.downloads if not _target(wanted, root).exists()]
    _check_terms(missing, root, accept_terms)
    for wanted in missing:
        file = root / wanted.filename
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            if not file.is_file():
                _fetch(wanted, file, check, progress)
        if wanted.unpack:
            unpack(
                file,
                _target(wanted, root),
                most_bytes=wanted.unpacked_size if check else None,
                most_files=wanted.unpacked_files if check else None,
                progress=progress,
            )


def _target(wanted: Download, root: Path) -> Path:
    """What there is in the end."""
    file = root / wanted.filename
    return file.with_name(folder_name(file.name)) if wanted.unpack else file


def _check_terms(missing: list[Download], root: Path, accepted: bool) -> None:
    terms = dict.fromkeys(wanted.terms for wanted in missing if wanted.terms)
    if terms and not accepted:
        raise DataError(
            f"{', '.join(wanted.filename for wanted in missing if wanted.terms)}: {' '.join(terms)}",
            way_out=f"--accept-terms, if you do; or put the files into {root} by other means",
        )


def _fetch(wanted: Download, file: Path, check: bool, progress: Progress | None) -> None:
    """Get the file from one of its addresses."""
    part = Part(file)
    problems: list[str] = []
    for url in filter(None, (wanted.url, *wanted.mirrors)):
        try:
            part.fill(url, wanted, check, progress)
            problem = part.unlike(wanted) if check else None
            if problem and part.resumed:  # two halves of different files?
                part.forget()
                part.fill(url, wanted, check, progress)
                problem = part.unlike(wanted)
            if problem is None:
                part.finish()
                return
            part.forget()
        except (OSError, HTTPException, ValueError) as error:
            problem = f"{wanted.filename} could not be fetched: {error or type(error).__name__}"
        problems.append(f"{problem} ({url})")
    if not problems:
        problems.append(f"{wanted.filename} has to be got by a person")
    raise DataError(
        "; ".join(problems),
        place=wanted.url or None,
        way_out=f"{wanted.steps or 'get it by other means'}, put it into {file.parent} as {file.name}, "
        "and issue the command again",
    )
