"""CUB-200-2011: photos of 200 kinds of birds (Wah, Branson, Welinder, Perona, Belongie 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square, whole
from dmlbench_plugins.datasets.roots import Folder, folder_with, text_of

LAST_TRAINING_CLASS = 100
"""The field trains on the first half of the class numbers and tests on the second."""
PUBLISHED: Published = {"train": (100, 5864), "test": (100, 5924)}
EDITION_OF_2010 = 6033


class Cub200:
    """11,788 photos of 200 classes; classes 1 to 100 train, the others test, as everywhere in the field.

    The root is the folder `CUB_200_2011` with `images.txt`, or one around it, or a zip file. The authors' own
    split of the images, for classification, is the column `image_split`. Some photos are grey.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            filename="CUB_200_2011.tgz",
            sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            md5="97eceeb196236b17998738112f37df78",
            size=1_150_585_339,
            terms="non-commercial research and education only: vision.caltech.edu/datasets/cub_200_2011",
            unpack=True,
        ),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a list is missing or damaged."""
        _refuse_2010(root)
        self._folder = folder_with(root, "images.txt", "images", way_out=_WAY_OUT)
        paths, classes, splits, names = (
            _table(self._folder, name)
            for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
        )
        try:
            found = [
                Item(
                    path=f"images/{path}",
                    label=names[classes[image]],
                    group=names[classes[image]],
                    part="train" if int(classes[image]) <= LAST_TRAINING_CLASS else "test",
                    columns={"image_split": "train" if splits[image] == "1" else "test"},
                )
                for image, path in paths.items()
            ]
        except (KeyError, ValueError) as error:
            raise DataError(
                f"images.txt does not fit the lists beside it: {error}", place=self._folder, way_out=_WAY_OUT
            ) from error
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        compare(items, PUBLISHED, mistaken={EDITION_OF_2010: _OF_2010}, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square."""
        return square(self.source(item), size)

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, with a shorter side of `size`."""
        return whole(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --download, or --from CUB_200_2011.tgz or the folder that is in it"
_OF_2010 = "this is CUB-200 of 2010; the field uses CUB-200-2011, with 11,788 pictures"


def _refuse_2010(root: Path | None) -> None:
    """The older edition has its lists in `lists/`, beside the same folders of images."""
    for folder in (root, root / "CUB_200_2010") if root else ():
        if (folder / "lists" / "files.txt").is_file():
            raise DataError(_OF_2010, place=folder, way_out=_WAY_OUT)


def _table(folder: Folder, name: str) -> dict[str, str]:
    """Lines of a number and what it stands for."""
    pairs = [line.split(maxsplit=1) for line in text_of(folder, name, way_out=_WAY_OUT).splitlines()]
    if odd := next((n for n, pair in enumerate(pairs, start=1) if len(pair) != 2), None):
        raise DataError(f"line {odd} of {name} is not a number and a name", place=folder, way_out=_WAY_OUT)
    return dict(pairs)
