"""What a data set plugin hands over: items, their source bytes, their pictures. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a data set and what is known about it."""

    path: str
    """Names the source picture: unique in the data set, relative, parts separated by `/`."""
    label: str
    """Name of its class."""
    group: str
    """What must stay on one side of a split with it, e.g. a base concept or an alphabet."""
    part: Literal["", "train", "validation", "test"] = ""
    """The side that the data set's authors put it on, if they did."""
    columns: Mapping[str, str | int] = field(default_factory=dict)
    """More facts about the picture, e.g. `{"domain": "sketch"}`; equal names for all items of a data set."""
    superclass: str | None = None
    labels: tuple[str, ...] = ()
    """Names of its labels, where pictures have several, beside its class: splits and sums go by that."""
    place: str = ""
    """Where a person finds it, e.g. `/data/items.csv, line 7`: for messages, and in no digest."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that a data set's authors publish, what tells it from another, and the terms that it has."""

    url: str
    """Empty for a file that only a person can get, e.g. after signing something; `steps` says how."""
    filename: str
    """Where it goes, relative to the data set's root."""
    sha256: str | None = None
    md5: str | None = None
    """For files whose authors publish no better sum."""
    size: int | None = None
    """Bytes, when known."""
    mirrors: tuple[str, ...] = ()
    """More addresses of the same file, tried in turn."""
    terms: str = ""
    """What is agreed to by fetching it, with where it can be read; shown; `--accept-terms` accepts."""
    steps: str = ""
    """How a person gets the file when no address answers."""
    unpack: bool = False
    """Whether it is an archive to unpack, to a folder beside it with its name but for the ending."""
    unpacked_size: int | None = None
    unpacked_files: int | None = None
    """Bytes and files in the archive, when known: more are not unpacked."""


class Dataset(Protocol):
    """A data set plugin. Its constructor takes the settings, all keyword-only.

    `items` is called first, once; `source` and `picture` then read what it found. What Pillow, `zipfile`
    or the file system raise while they do becomes a `DataError` that names the item, so that a plugin needs
    no code for corrupt pictures. A picture that a list names and nobody has is an item like any other.

    `reads_zip = True` says that the root may be a zip file; other archives that people name are unpacked.
    `check_counts(items)` may be there too: it raises `DataError` when `items` are not as many as were
    published. A partial copy is let pass by `--allow-partial`, and never counts as the task's data.
    `whole_picture(item, size)` may be there: the picture with all of its longer side, and `size` as its
    shorter one, for tracks that store whole pictures.
    """

    needs_root: ClassVar[bool]
    """Whether there are files to point at; False when pictures are drawn from installed packages."""
    downloads: ClassVar[tuple[Download, ...]]

    def versions(self) -> dict[str, str]:
        """The packages that the drawing depends on, with versions; empty for pictures in files.

        It is part of what names a prepared store: add an entry when items say more than they did, e.g. a
        column, and stores made before are left alone.
        """

    def items(self, root: Path | None) -> Sequence[Item]:
        """All items in an order that depends on names only. `DataError` when files are missing."""

    def source(self, item: Item) -> bytes:
        """The bytes that the picture comes from, as its authors published them, for the fingerprint."""

    def picture(self, item: Item, size: int) -> Image | np.ndarray:
        """The picture on white, `size` x `size` pixels, mode RGB or L.

        Pictures that are no colours are uint8 arrays, height x width x band, with as many bands as the track
        has channels.
        """
