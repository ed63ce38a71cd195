"""UC Merced Land Use with several labels a picture (Chaudhuri, Demir, Chaudhuri, Bruzzone 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.roots import folders
from dmlbench_plugins.datasets.uc_merced import UcMerced

TABLES = ("LandUse_Multilabeled.txt", "multilabels.txt")
"""Names under which the labels are passed on."""
LABELS = 17


class UcMercedMultilabel:
    """The 2,100 pictures of `uc-merced` with 17 labels of what is to be seen on them, one to seven each.

    The root is a folder with what `uc-merced` reads and with the table of the labels, in a zip file or not.
    The class is the kind of land use, which is no label; every picture is a group of its own.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        *UcMerced.downloads,
        Download(url="http://bigearth.eu/assets/docs/multilabels.zip", filename="multilabels.zip"),
    )

    def __init__(self) -> None:
        self._pictures = UcMerced()
        self._labels: tuple[str, ...] = ()

    def versions(self) -> dict[str, str]:
        return self._pictures.versions()

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when the table is missing or damaged, or lacks a picture."""
        pictures = self._pictures.items(root)
        self._labels, labels_of = _table(root)
        names = [item.path.rpartition("/")[2].removesuffix(".tif") for item in pictures]
        if unknown := next((name for name in names if name not in labels_of), None):
            raise DataError(f"the table of labels has no line for {unknown}", place=root, way_out=_WAY_OUT)
        return [
            replace(item, group=item.path, labels=labels_of[name])
            for item, name in zip(pictures, names, strict=True)
        ]

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless there are 17 labels; all pictures are known by name."""
        if len(self._labels) != LABELS:
            raise DataError(
                f"the table has {len(self._labels)} labels, published are {LABELS}", way_out=_WAY_OUT
            )

    def source(self, item: Item) -> bytes:
        return self._pictures.source(item)

    def picture(self, item: Item, size: int) -> Image.Image:
        return self._pictures.picture(item, size)


_WAY_OUT = "a folder with UCMerced_LandUse.zip (or Images/) and multilabels.zip (or its text file)"


def _table(root: Path | None) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The names of the labels, and those of each picture by its name, out of a line of 0 and 1."""
    places = (folder / name for folder in folders(root, way_out=_WAY_OUT) for name in TABLES)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise DataError(f"there is no {' or '.join(TABLES)} here", place=root, way_out=_WAY_OUT)
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    names = tuple(name.strip() for name in head.split("\t")[1:] if name.strip())
    labels_of = {}
    for number, line in enumerate(lines, start=2):
        picture, *has = (cell.strip() for cell in line.rstrip("\t").split("\t"))
        if not picture and not has:
            continue
        if len(has) != len(names) or not set(has) <= {"0", "1"} or "1" not in has:
            raise DataError(
                f"line {number} of {file.name} is not a picture and 0 or 1 for each of {len(names)} labels",
                place=root,
            )
        labels_of[picture] = tuple(name for name, cell in zip(names, has, strict=True) if cell == "1")
    return names, labels_of
