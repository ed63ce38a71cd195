"""In-Shop Clothes Retrieval, a part of DeepFashion (Liu, Luo, Qiu, Wang, Tang 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square, whole
from dmlbench_plugins.datasets.roots import Folder, folder_with, text_of

LIST = "list_eval_partition.txt"
HEADER = "image_name item_id evaluation_status"
PUBLISHED: Published = {"train": (3997, 25882), "query": (3985, 14218), "gallery": (3985, 12612)}
STEPS = "read the terms at mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html, get it from the authors' drive"
NAMESAKES = {
    "image_name evaluation_status": "DeepFashion's Category and Attribute Prediction",
    "image_pair_name_1 image_pair_name_2 item_id evaluation_status": "DeepFashion's Consumer-to-Shop",
}
"""Other lists of the same name, by their second line."""


class InShop:
    """52,712 photos of 7,982 pieces of clothing; the column `role` says query or gallery of those that test.

    The field searches the gallery for the clothes of the queries; both show the same 3,985 pieces. The
    super-class is the category, e.g. `WOMEN/Dresses`.

    The root holds `Eval/list_eval_partition.txt`, or the list itself, and the photos: `img/`, `Img/img/`, or
    the authors' `img.zip` in either place.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(url="", filename="Eval/list_eval_partition.txt", steps=STEPS),
        Download(url="", filename="Img/img.zip", steps=STEPS),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when the list or the photos are missing, or are others'."""
        lists = folder_with(root, LIST, way_out=_WAY_OUT)
        count, header, *lines = [*text_of(lists, LIST, way_out=_WAY_OUT).splitlines(), "", ""]
        if header.split() != HEADER.split():
            problem = f"{LIST} is of {NAMESAKES.get(' '.join(header.split()), 'another data set')}"
            raise DataError(f"{problem}, not of In-Shop Clothes Retrieval", place=lists, way_out=_WAY_OUT)
        rows = [line.split() for line in lines if line]
        if count.strip() != str(len(rows)):
            raise DataError(f"{LIST} says {count.strip()} lines, and has {len(rows)}", place=lists)
        self._folder = folder_with(root, "img", way_out=_WAY_OUT)
        return sorted((_item(row, lists) for row in rows), key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        compare(items, PUBLISHED, part=lambda item: item.columns["role"] or item.part, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square."""
        return square(self.source(item), size)

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, with a shorter side of `size`."""
        return whole(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --from the folder with Eval/list_eval_partition.txt and Img/img.zip"


def _item(row: list[str], lists: Folder) -> Item:
    """`img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train` as an item."""
    if len(row) != 3 or row[2] not in PUBLISHED:
        raise DataError(f"{LIST} has a line that names no picture: {' '.join(row)!r}", place=lists)
    path, label, status = row
    trains = status == "train"
    return Item(
        path=path,
        label=label,
        group=label,
        part="train" if trains else "test",
        columns={"role": "" if trains else status},
        superclass="/".join(path.split("/")[1:3]),
    )
