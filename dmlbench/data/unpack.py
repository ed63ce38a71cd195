"""Unpacking archives from strangers: zip, tar, and tar under gzip, bzip2 or xz.

An archive is unpacked beside its place and then renamed, so a folder is whole or not there. Refused are names
that lead out of it, links, devices, names that occur twice, and more bytes or files than were to be expected.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from filelock import FileLock

from dmlbench.errors import DataError

ENDINGS = re.compile(r"\.tar\.(gz|bz2|xz)|\.(zip|tar|tgz|tbz2?|txz)", re.IGNORECASE)
EXPANSION, ALLOWANCE = 64, 64 << 20
"""Where nothing is declared: bytes that one byte of an archive may become, and bytes that any may. Pictures
grow by a few per cent, text tenfold, a bomb a thousandfold."""
MOST_FILES = 2_000_000
"""Where nothing is declared."""
_BLOCK_BYTES = 1 << 20
_HEADER_BYTES = 4096
"""What a tar file has beside a member's content, usually 512 to 1,535."""
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}

Progress = Callable[[str, int], None]


def is_archive(file: Path) -> bool:
    """Whether it is called, or begins, like one that can be unpacked."""
    named = folder_name(file.name) != file.name
    return file.is_file() and (named or zipfile.is_zipfile(file) or tarfile.is_tarfile(file))


def folder_name(filename: str) -> str:
    """An archive's name without its ending.

    >>> folder_name("CUB_200_2011.tgz"), folder_name("a.b.tar.gz"), folder_name("plain")
    ('CUB_200_2011', 'a.b', 'plain')
    """
    match = next((m for m in ENDINGS.finditer(filename) if m.end() == len(filename)), None)
    return filename[: match.start()] if match and match.start() else filename


def unpack(
    archive: Path,
    folder: Path,
    *,
    most_bytes: int | None = None,
    most_files: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Unpack `archive` to `folder`, unless that is there already.

    `progress(name, bytes_so_far)` is called after each file. `DataError` for what the module refuses, and for
    an archive that is cut or damaged; nothing is left then.
    """
    bounds = _Bounds(
        archive,
        EXPANSION * archive.stat().st_size + ALLOWANCE if most_bytes is None else most_bytes,
        MOST_FILES if most_files is None else most_files,
        progress,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            return
        building = folder.with_name(f".{folder.name}.unpacking")
        shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
        try:
            building.mkdir()
            reader = _zip_members if zipfile.is_zipfile(archive) else _tar_members
            with contextlib.closing(reader(archive, bounds)) as members:
                for name, content in members:
                    _put(building, name, content, bounds)
            building.rename(folder)
        except _DAMAGED as error:
            raise DataError(
                f"{archive.name} is no complete archive: {error or type(error).__name__}",
                place=archive,
                way_out="fetch it again",
            ) from error
        except OSError as error:
            raise DataError(
                f"{archive.name} cannot be unpacked: {error.strerror or error}",
                place=error.filename or folder.parent,
                way_out="make room there and issue the command again",
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)


@dataclass
class _Bounds:
    """What was written so far, and how much may be."""

    archive: Path
    most_bytes: int
    most_files: int
    progress: Progress | None
    size: int = 0
    members: int = 0
    names: set[str] = field(default_factory=set)

    def refuse(self, name: str, problem: str) -> DataError:
        return DataError(
            f"{self.archive.name} is not unpacked: {name!r} {problem}",
            place=self.archive,
            way_out="if you trust it, unpack it yourself and name the folder with --from",
        )

    def count(self, name: str) -> None:
        self.members += 1
        if self.members > self.most_files:
            raise self.refuse(name, f"is one more than {self.most_files:,} files and folders")

    def grow(self, name: str, size: int) -> None:
        self.size += size
        if self.size > self.most_bytes:
            raise self.refuse(name, f"would make more than {self.most_bytes:,} bytes")


Member = tuple[str, IO[bytes] | None]
"""The name and what is in the file; None for a folder."""


def _zip_members(archive: Path, bounds: _Bounds) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            bounds.count(info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise bounds.refuse(info.filename, "is a link or a device")
            if info.flag_bits & 1:
                raise bounds.refuse(info.filename, "is encrypted")
            if info.is_dir():
                yield info.filename, None
                continue
            try:
                content = file.open(info)
            except NotImplementedError as error:
                raise bounds.refuse(info.filename, f"cannot be read: {error}") from error
            with content:
                yield info.filename, content


def _tar_members(archive: Path, bounds: _Bounds) -> Iterator[Member]:
    with archive.open("rb") as file:
        start = file.read(6)
    opened = next((open_ for magic, open_ in _COMPRESSED.items() if start.startswith(magic)), Path.open)
    # Read once, from front to back: what is passed over, and headers, count as well.
    with opened(archive, "rb") as stream:
        bounded = _Bounded(stream, bounds)
        yield from _members_of(bounded, bounds)
        bounded.end()


def _members_of(stream: _Bounded, bounds: _Bounds) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r|") as file:
        for info in file:
            bounds.count(info.name)
            if info.isdir():
                yield info.name, None
            elif info.isreg():
                yield info.name, file.extractfile(info)
            else:
                raise bounds.refuse(info.name, "is a link or a device")


class _Bounded:
    """A tar file as it is unpacked, ended where it grows beyond what its members may make it."""

    def __init__(self, stream: IO[bytes], bounds: _Bounds) -> None:
        self._stream = stream
        self._bounds = bounds
        self._size = 0
        self._tail = b""

    def end(self) -> None:
        """Read on to the end: `tarfile` takes a file that is cut between two members for whole."""
        while self.read(_BLOCK_BYTES):
            pass
        if self._size % 512 or self._tail.strip(b"\0") or len(self._tail) < 512:
            raise tarfile.ReadError("its end is missing")

    def read(self, size: int) -> bytes:
        try:
            content = self._stream.read(size)
        except OSError as error:  # damaged bzip2
            raise tarfile.ReadError(str(error)) from error
        self._size += len(content)
        self._tail = (self._tail + content)[-512:]
        if self._size > self._bounds.most_bytes + ALLOWANCE + _HEADER_BYTES * self._bounds.members:
            raise self._bounds.refuse("what is in it", f"is more than {self._bounds.most_bytes:,} bytes")
        return content


def _put(building: Path, name: str, content: IO[bytes] | None, bounds: _Bounds) -> None:
    """Write one member below `building`."""
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in parts or "\0" in name:
        raise bounds.refuse(name, "leads out of the folder")
    path = building.joinpath(*(part for part in parts if part not in ("", ".")))
    try:
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while block := content.read(_BLOCK_BYTES):
                bounds.grow(name, len(block))
                file.write(block)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise bounds.refuse(name, "is there twice, or in a file") from error
    if bounds.progress is not None:
        bounds.progress(name, bounds.size)
