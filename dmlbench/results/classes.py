"""Per-class sums of a metric over queries: what the class bootstrap resamples."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import zlib
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from dmlbench.errors import ResultsError
from dmlbench.files import replacing
from dmlbench.spec.model import Spec

#: A file from a stranger may unpack to no more than this; 100,000 classes need about 10 MiB.
MAX_BYTES = 64 * 2**20


class ClassSums(Spec):
    """For each class its queries and, for each metric, the sum over them.

    A metric's value is the sum of its sums divided by the sum of the counts. `counts` leaves out what the
    metric leaves out (queries without any positive); a class may count 0.
    """

    classes: tuple[str, ...] = Field(min_length=1)
    counts: tuple[int, ...]
    sums: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _fits_together(self) -> ClassSums:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if len(self.counts) != len(self.classes) or min(self.counts) < 0:
            raise ValueError("`counts` needs one number of queries, 0 or more, for each class")
        for metric, sums in self.sums.items():
            if len(sums) != len(self.classes) or not all(math.isfinite(value) for value in sums):
                raise ValueError(f"`sums.{metric}` needs one finite number for each class")
        return self

    def mean(self, metric: str) -> float | None:
        """The metric over all queries; None when there is no such sum or no query."""
        queries = sum(self.counts)
        return math.fsum(self.sums[metric]) / queries if metric in self.sums and queries else None


def to_json(sums: ClassSums) -> bytes:
    """The canonical JSON whose sha256 a record carries."""
    data = sums.model_dump(mode="python")
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(sums: ClassSums) -> str:
    """What `record.classes` must say."""
    return "sha256:" + hashlib.sha256(to_json(sums)).hexdigest()


def pack(sums: ClassSums) -> bytes:
    """The file's bytes: gzip without time or name, so that equal sums make equal files."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(to_json(sums))
    return buffer.getvalue()


def unpack(packed: bytes, *, place: object) -> ClassSums:
    """The sums in a file's bytes; `ResultsError` when they are damaged, too large or not canonical."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ResultsError(f"unpacks to more than {MAX_BYTES >> 20} MiB", place=place)
        sums = ClassSums.model_validate_json(text, strict=True)
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise ResultsError(f"not a file of per-class sums: {error}", place=place) from error
    if to_json(sums) != text:
        raise ResultsError("the per-class sums are not in canonical form", place=place)
    return sums


def read(path: Path, expected: str | None = None) -> ClassSums:
    """The sums in the file at `path`; with `expected`, only when their digest is that one."""
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"cannot read the per-class sums: {error.strerror}", place=path) from error
    sums = unpack(packed, place=path)
    if expected is not None and digest(sums) != expected:
        raise ResultsError(
            "the per-class sums are not the ones that the record names",
            place=path,
            way_out=f"the record says {expected}, the file is {digest(sums)}: take both from one run",
        )
    return sums


def write(path: Path, sums: ClassSums) -> str:
    """Store `sums` at `path` atomically; returns the digest for the record."""
    with replacing(path) as temporary:
        temporary.write_bytes(pack(sums))
    return digest(sums)
