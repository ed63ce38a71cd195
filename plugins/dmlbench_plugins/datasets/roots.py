"""Finding a data set's own folder, unpacked or in a zip file, and reading what is in it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dmlbench.api import DataError

Folder = Path | zipfile.Path
"""Both have `/`, `is_file`, `exists`, `iterdir`, `read_bytes` and `read_text`."""
DEPTH = 2
"""How far below the root the folder may lie: people unpack into one folder more, and name the outer one."""


def folder_with(root: Path | None, *marks: str, way_out: str) -> Folder:
    """The folder that holds all `marks`, files or folders: `root`, one below it, or one in a zip file.

    The zip file is `root` itself, or lies in it or one folder below. `DataError` without such a folder,
    and for a zip file that is cut.
    """
    for folder in folders(root, way_out=way_out):
        if all((folder / mark).exists() for mark in marks):
            return folder
    named = " and ".join(marks)
    raise DataError(f"there is no folder with {named} here", place=root, way_out=way_out)


def folders(root: Path | None, *, way_out: str) -> Iterator[Folder]:
    """`root` and what is below it, outer ones first, by name; then those in zip files there."""
    if root is None:
        raise _no_root(way_out)
    if root.is_dir():
        level: Sequence[Path] = [root]
        for _ in range(DEPTH + 1):
            yield from level
            level = [child for folder in level for child in sorted(folder.iterdir()) if _may_hold(child)]
    for archive in _archives(root):
        file = opened(archive)
        inner = {parent for name in file.namelist() for parent in _parents(name)}
        for name in sorted(inner, key=lambda name: (name.count("/"), name)):
            yield zipfile.Path(file, name)


def files(root: Path | None, *, way_out: str) -> Iterator[tuple[Folder, list[str]]]:
    """`root` and the names of all files below it, sorted; then the same for each zip file there."""
    if root is None:
        raise _no_root(way_out)
    if root.is_dir():
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        yield root, sorted(found)
    for archive in _archives(root):
        file = opened(archive)
        yield zipfile.Path(file), sorted(n for n in file.namelist() if n[-1] != "/" and "__MACOSX" not in n)


def opened(archive: Path) -> zipfile.ZipFile:
    """The zip file, for reading. `DataError` when it is cut or no zip file."""
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{archive.name} is no complete zip file",
            place=archive.parent,
            way_out="fetch it again, or name a folder in which other archives are unpacked",
        ) from error


def text_of(folder: Folder, name: str, *, way_out: str) -> str:
    """A text file of `folder`. `DataError` when it is not there."""
    if not (folder / name).is_file():
        raise DataError(f"there is no {name}", place=folder, way_out=way_out)
    return (folder / name).read_text(encoding="utf-8")


def _no_root(way_out: str) -> DataError:
    return DataError("the data set is read from the folder or zip file that holds it", way_out=way_out)


def _archives(root: Path) -> list[Path]:
    return [root] if root.is_file() else [*sorted(root.glob("*.zip")), *sorted(root.glob("*/*.zip"))]


def _may_hold(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "__MACOSX"))


def _parents(name: str) -> list[str]:
    """The folders of `a/b/c.jpg`: the archive itself, `a/`, `a/b/`."""
    parts = name.split("/")[:-1]
    if "__MACOSX" in parts:
        return []
    return ["", *("/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + 1))]
