"""Fetching one file piece by piece: what was fetched is kept, and fetching goes on from it.

Beside a file NAME that is not whole yet lie `.NAME.part` and `.NAME.part.json`, which says where it is from.
"""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from dmlbench import __version__
from dmlbench.data.items import Download
from dmlbench.files import read_json, write_json

PAUSES = (1.0, 4.0)
"""Seconds before an address that gave nothing is tried again; one that gave something is tried at once."""
_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP's words for "not now"."""

Progress = Callable[[str, int], None]


class Part:
    """The beginning of a file, and where it is from."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.path = file.with_name(f".{file.name}.part")
        self._origin = file.with_name(f".{file.name}.part.json")
        self.resumed = False
        """Whether it was put together from two answers or more."""

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)
        self.resumed = False

    def finish(self) -> None:
        """It is the file now."""
        self.path.replace(self.file)
        self._origin.unlink(missing_ok=True)

    def fill(self, url: str, wanted: Download, check: bool, progress: Progress | None) -> None:
        """Fetch what is missing from `url`; a broken connection is taken up again.

        `OSError`, `HTTPException` or `ValueError` when it gives nothing for some time, or something else.
        """
        pauses = iter(PAUSES)
        while True:
            before = self.size
            try:
                return self._one_answer(url, wanted, check, progress)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416 and before:  # what is here is no beginning of what is there
                    self.forget()
                elif error.code not in _PASSING or _wait(pauses):
                    raise
            except (OSError, HTTPException):
                if self.size > before:
                    pauses = iter(PAUSES)
                elif _wait(pauses):
                    raise

    def _one_answer(self, url: str, wanted: Download, check: bool, progress: Progress | None) -> None:
        start, validator, size = self._start(url, wanted, check)
        if start and start == size:  # it was whole, and then the process was killed
            self.resumed = True
            return
        headers = {"User-Agent": f"dmlbench/{__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            whole = _whole_size(answer)
            if whole.start not in (0, start):
                self.forget()
                raise ConnectionError("the server answers with another part than was asked for")
            start = whole.start  # 0: the server sends all of it, or the file is another by now
            _check_kind(answer, wanted)
            most = wanted.size if check else None
            if most is not None and whole.size is not None and whole.size != most:
                raise ValueError(f"it has {whole.size:,} bytes there, published are {most:,}")
            if start == 0:
                self.forget()
                self.path.touch()
                write_json(self._origin, {"url": url, "validator": _validator(answer), "size": whole.size})
            self.resumed = start > 0
            with self.path.open("ab") as file:
                size = start
                while block := answer.read(_BLOCK_BYTES):
                    size += len(block)
                    if most is not None and size > most:
                        raise ValueError(f"it has more than the {most:,} bytes that are published")
                    file.write(block)
                    file.flush()
                    if progress is not None:
                        progress(wanted.filename, size)
            if whole.size is not None and size < whole.size:
                raise ConnectionError(f"the connection broke after {size:,} of {whole.size:,} bytes")

    def _start(self, url: str, wanted: Download, check: bool) -> tuple[int, str, int | None]:
        """How many bytes need not be fetched again, what tells the server's file from another, and its size.

        From another address only when a sum will tell whether the halves fit; 0 where nothing would.
        """
        origin: dict[str, Any] = read_json(self._origin) if self._origin.is_file() else {}
        summed = check and bool(wanted.sha256 or wanted.md5)
        same = origin.get("url") == url
        if not origin or not (summed or (same and origin["validator"])):
            return 0, "", None
        return self.size, origin["validator"] if same else "", origin["size"]

    def unlike(self, wanted: Download) -> str | None:
        """In what it differs from the published file."""
        facts = [("bytes", wanted.size, self.size)]
        for name in ("sha256", "md5"):
            published = getattr(wanted, name)
            if published is not None:
                with self.path.open("rb") as file:
                    digest = hashlib.file_digest(
                        file, lambda name=name: hashlib.new(name, usedforsecurity=False)
                    )
                facts.append((name, published, digest.hexdigest()))
        for name, published, found in facts:
            if published is not None and published != found:
                return f"{wanted.filename} is not the published file: {name} {found}, published {published}"
        return None


def _wait(pauses: Any) -> bool:
    """Wait for the next attempt; True when there is none."""
    pause = next(pauses, None)
    if pause is None:
        return True
    time.sleep(pause)
    return False


@dataclass(frozen=True)
class _Whole:
    """Where an answer begins in its file, and the file's size if the server says it."""

    start: int
    size: int | None


def _whole_size(answer: Any) -> _Whole:
    if getattr(answer, "status", None) == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if match is None:
            return _Whole(-1, None)
        return _Whole(int(match[1]), None if match[2] == "*" else int(match[2]))
    length = answer.headers.get("Content-Length")
    return _Whole(0, int(length) if length else None)


def _check_kind(answer: Any, wanted: Download) -> None:
    """A page that asks for a login, or says that all is gone, comes as if it were the file."""
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html") and not wanted.filename.endswith((".html", ".htm")):
        raise ValueError("a web page came in its place")


def _validator(answer: Any) -> str:
    """The strong ETag, or the date of the last change; empty when there is neither."""
    tag = answer.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return str(answer.headers.get("Last-Modified", ""))
