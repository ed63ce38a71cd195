"""A prepared data set on disk: every picture decoded once, labels apart, test labels further apart.

A store is one folder:

    images.u8          raw uint8, item x height x width x channel; rows of train, validation, test in turn.
                       Whole pictures: line x pixel x channel, see `WholePictures`
    sizes.json         only for whole pictures: height and width of each
    train.json         rows, labels 0..C-1, names of the classes, columns, paths; where items have several
                       labels, also those of each item (relevance) and their names, alike on all sides
    val.json           the same for the validation classes
    test-order.json    rows of the test items, shuffled, and where items have one the domain of each: a
                       network may have to be told whether it sees a photo or a sketch
    test-labels.json   labels, classes, paths and columns in that order: for the scorer alone
    meta.json          shape, digests, counts; written last

Everything but `test-labels.json` may be handed to code that must not know the test classes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from dmlbench.data.whole import WholePictures
from dmlbench.errors import DataError
from dmlbench.files import read_json
from dmlbench.spec.model import digest

STORE_FORMAT = 2
"""Raised also when built-in data sets say more of their items: a store made before lacks that."""
IMAGES, SIZES, META = "images.u8", "sizes.json", "meta.json"
TRAIN, VALIDATION = "train.json", "val.json"
TEST_ORDER, TEST_LABELS = "test-order.json", "test-labels.json"
DOMAIN = "domain"
_PREPARE = "dmlbench data prepare TASK"
_AGAIN = f"delete the folder, then {_PREPARE}"


@dataclass(frozen=True, eq=False)
class Part:
    """Items of one side whose labels may be known. Row-aligned throughout."""

    rows: Int[Tensor, " item"]
    """Where each item's picture is in `Prepared.images`."""
    labels: Int[Tensor, " item"]
    """0..C-1, numbered within the side."""
    classes: tuple[str, ...]
    columns: dict[str, list[str | int]]
    paths: tuple[str, ...] = field(default=(), repr=False)
    """Of the source pictures; empty in stores that were written without them."""
    relevance: Bool[Tensor, "item label"] | None = None
    """Which labels each item has, where items have several."""
    label_names: tuple[str, ...] = ()
    """Of the columns of `relevance`, the same on all sides: a label may be on none of a side's items."""

    def to_json(self) -> dict[str, Any]:
        """What `Prepared` reads."""
        found: dict[str, Any] = {
            "rows": self.rows.tolist(),
            "labels": self.labels.tolist(),
            "classes": list(self.classes),
            "columns": self.columns,
            "paths": list(self.paths),
        }
        if self.relevance is not None:
            found["relevance"] = [row.nonzero().flatten().tolist() for row in self.relevance]
            found["label_names"] = list(self.label_names)
        return found


@dataclass(frozen=True, eq=False)
class TestLabels:
    """What the test items are, in the order of `Prepared.test_rows`."""

    labels: Int[Tensor, " item"]
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    columns: dict[str, list[str | int]]
    relevance: Bool[Tensor, "item label"] | None = None
    """As in `Part`."""

    __test__ = False  # a name that pytest would collect


@dataclass(frozen=True, eq=False)
class Prepared:
    """A complete store, opened for reading. Files are read when they are first asked for."""

    folder: Path
    meta: dict[str, Any]
    labels: Path
    """Where `train.json` and `val.json` are: the same folder, or one whose labels are wrong on purpose."""

    @classmethod
    def open(cls, folder: Path, labels: Path | None = None) -> Prepared:
        """The store in `folder`, its training and validation labels read from `labels` if that is given.

        `DataError` when it is absent, unfinished or of a later format.
        """
        if not (folder / META).is_file():
            raise DataError("no prepared data here", place=folder, way_out=_PREPARE)
        meta = read_json(folder / META)
        if meta["format"] != STORE_FORMAT:
            raise DataError(
                f"the store has format {meta['format']}, this dmlbench reads {STORE_FORMAT}",
                place=folder,
                way_out=_AGAIN,
            )
        return cls(folder, meta, labels or folder)

    @property
    def fingerprint(self) -> str:
        """Of the source pictures and their classes, `sha256:…`; `partial:sha256:…` where some are missing."""
        return str(self.meta["fingerprint"])

    @property
    def digest(self) -> str:
        """`sha256:…` of the sources and of the pixels made from them: another font renderer is other data."""
        return digest({"fingerprint": self.fingerprint, "pixels": self.meta["pixels"]})

    @property
    def left_out(self) -> list[str]:
        """Paths of unreadable pictures that the store was allowed to do without."""
        return list(self.meta["left_out"])

    @property
    def lacks(self) -> str:
        """What the data set said that its items are short of; empty for a complete copy."""
        return str(self.meta.get("lacks", ""))

    @cached_property
    def images(self) -> UInt8[Tensor, "item height width channel"] | WholePictures:
        """All pictures, mapped from disk; indexing with rows reads what it needs.

        Mapped copy-on-write: PyTorch wants writable memory, and what is written there never reaches the file.
        """
        path, shape = self.folder / IMAGES, tuple(self.meta["shape"])
        if not path.is_file() or path.stat().st_size != int(np.prod(shape)):
            raise DataError(
                f"{IMAGES} is not {' x '.join(map(str, shape))} bytes", place=self.folder, way_out=_AGAIN
            )
        found = torch.from_numpy(np.memmap(path, np.uint8, mode="c", shape=shape))
        if not self.meta.get("whole"):
            return found
        return WholePictures(found, torch.tensor(read_json(self.folder / SIZES)["sizes"], dtype=torch.int64))

    def picture(self, row: int) -> UInt8[Tensor, "height width channel"]:
        """One picture as it is stored."""
        return self.images.picture(row) if isinstance(self.images, WholePictures) else self.images[row]

    @cached_property
    def train(self) -> Part:
        return self._part(TRAIN)

    @cached_property
    def validation(self) -> Part:
        return self._part(VALIDATION)

    @cached_property
    def test_rows(self) -> Int[Tensor, " item"]:
        """The test items' rows in an order that tells nothing."""
        return torch.tensor(read_json(self.folder / TEST_ORDER)["rows"], dtype=torch.int64)

    @property
    def test_domain(self) -> list[str | int]:
        """The domain of each test item, in the order of `test_rows`. `DataError` where it is not known."""
        found = read_json(self.folder / TEST_ORDER)
        if DOMAIN not in found:
            raise DataError("the store has no domain of its test items", place=self.folder, way_out=_AGAIN)
        return list(found[DOMAIN])

    def test_labels(self) -> TestLabels:
        """For the scorer. `DataError` where the labels were withheld."""
        if not (self.folder / TEST_LABELS).is_file():
            raise DataError(
                f"{TEST_LABELS} is not here", place=self.folder, way_out="score where the data was prepared"
            )
        found = read_json(self.folder / TEST_LABELS)
        labels = torch.tensor(found["labels"], dtype=torch.int64)
        return TestLabels(
            labels, tuple(found["classes"]), tuple(found["paths"]), found["columns"], _relevance(found)
        )

    def verify(self) -> None:
        """Hash the pictures again; `DataError` when a byte has changed since they were prepared."""
        with (self.folder / IMAGES).open("rb") as file:
            pixels = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        if pixels != self.meta["pixels"]:
            raise DataError(f"{IMAGES} has changed since it was prepared", place=self.folder, way_out=_AGAIN)

    def _part(self, name: str) -> Part:
        found = read_json(self.labels / name)
        rows, labels = (torch.tensor(found[key], dtype=torch.int64) for key in ("rows", "labels"))
        return Part(
            rows,
            labels,
            tuple(found["classes"]),
            found["columns"],
            tuple(found.get("paths", ())),
            _relevance(found),
            tuple(found.get("label_names", ())),
        )


def _relevance(found: dict[str, Any]) -> Bool[Tensor, "item label"] | None:
    """Rows of yes and no from lists of label numbers; None where items have one class each."""
    if "relevance" not in found:
        return None
    lists = found["relevance"]
    rows = torch.zeros(len(lists), len(found["label_names"]), dtype=torch.bool)
    sizes = torch.tensor([len(own) for own in lists], dtype=torch.int64)
    item = torch.arange(len(lists)).repeat_interleave(sizes)
    rows[item, torch.tensor([label for own in lists for label in own], dtype=torch.int64)] = True
    return rows
