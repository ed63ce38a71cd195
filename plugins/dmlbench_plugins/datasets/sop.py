"""Stanford Online Products: photos of goods for sale (Song, Xiang, Jegelka, Savarese 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square, whole
from dmlbench_plugins.datasets.roots import Folder, folder_with, text_of

HEADER = "image_id class_id super_class_id path"
PUBLISHED: Published = {"train": (11318, 59551), "test": (11316, 60502)}


class OnlineProducts:
    """120,053 photos of 22,634 products in 12 super-classes, two to twelve of each; the authors' own split.

    The root is the folder `Stanford_Online_Products` with `Ebay_train.txt` and `Ebay_test.txt`, one around
    it, or the authors' zip file. Some photos are grey.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="ftp://cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
            filename="Stanford_Online_Products.zip",
            sha256="b04fa78210e69fab050ce73939550e1cd0f96890bdd98ec9fee732c3b756ef48",
            md5="7f73d41a2f44250d4779881525aea32e",
            size=3_083_860_082,
            steps="follow the link in github.com/rksltnl/Deep-Metric-Learning-CVPR16 to the authors' drive",
        ),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a list is missing or damaged."""
        self._folder = folder_with(root, "Ebay_train.txt", "Ebay_test.txt", way_out=_WAY_OUT)
        found = [*_listed(self._folder, "train"), *_listed(self._folder, "test")]
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        compare(items, PUBLISHED, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square."""
        return square(self.source(item), size)

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, with a shorter side of `size`."""
        return whole(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --from the folder or zip file Stanford_Online_Products"


def _listed(folder: Folder, part: Literal["train", "test"]) -> Iterator[Item]:
    """One item a line of `image_id class_id super_class_id path`; the super-class has the folder's name."""
    name = f"Ebay_{part}.txt"
    header, *lines = text_of(folder, name, way_out=_WAY_OUT).splitlines() or [""]
    if header.split() != HEADER.split():
        raise DataError(f"{name} begins with {header!r}, not {HEADER!r}", place=folder, way_out=_WAY_OUT)
    for number, line in enumerate(lines, start=2):
        fields = line.split()
        if len(fields) != 4 or not fields[1].isdigit():
            raise DataError(f"line {number} of {name} names no picture: {line!r}", place=folder)
        label, path = f"{int(fields[1]):05}", fields[3]
        superclass = path.partition("/")[0].removesuffix("_final")
        yield Item(path=path, label=label, group=label, part=part, superclass=superclass)
