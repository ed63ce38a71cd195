"""The lists by which the field splits sketches and photos for zero-shot retrieval (SAKE, MATHM)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.roots import Folder, text_of

DATASET_ZIP = Download(
    url="https://cs.jhu.edu/~qliu24/ZSSBIR/dataset.zip",
    filename="dataset.zip",
    steps="ask the authors of SAKE or MATHM for the lists and pictures of both sets",
)
"""Lists and resized pictures, as SAKE passed them on."""


class List(NamedTuple):
    """A file of lines `path label`."""

    name: str
    domain: Literal["photo", "sketch"]
    part: Literal["train", "test"]
    held_out: bool = False
    """Sketches of training classes that the field validates with; they train nothing."""


def listed(folder: Folder, lists: Sequence[List], *, way_out: str) -> Iterator[Item]:
    """The items of all lists. A class is named by the folder of its pictures; labels are numbers by side.

    Columns: `domain`, and `held_out`, 1 or 0. `DataError` for a list that is missing or damaged.
    """
    for one in lists:
        for number, line in enumerate(text_of(folder, one.name, way_out=way_out).splitlines(), start=1):
            path, _, label = line.strip().rpartition(" ")  # classes may have spaces in their names
            if path.count("/") < 2 or not label.isdigit():
                raise DataError(f"line {number} of {one.name} is no path and label: {line!r}", place=folder)
            name = path.split("/")[-2]
            columns: dict[str, str | int] = {"domain": one.domain, "held_out": int(one.held_out)}
            yield Item(path=path, label=name, group=name, part=one.part, columns=columns)


def file_of(folder: Folder, path: str) -> Folder:
    """The picture's file: folders are called `…_ready` where pictures were resized, as the lists have it."""
    top, name, file = path.rsplit("/", 2)
    plain = top.removesuffix("_ready")
    return folder / (top if (folder / top).exists() else plain) / name / file


def kind(item: Item) -> str:
    """What the counts of the lists are published for, e.g. `train photos`."""
    return f"{item.part} {'photos' if item.columns['domain'] == 'photo' else 'sketches'}"
