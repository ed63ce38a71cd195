"""Labeled Faces in the Wild, and pairs of them (Huang, Ramesh, Berg, Learned-Miller 2007)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, files

PUBLISHED: Published = {"": (5749, 13233)}

_FACE = re.compile(r"(?:(?P<set>.*)/)?(?P<path>(?P<name>[^/]+)/(?P=name)_\d{4}\.jpg)")


class Pair(NamedTuple):
    """Two pictures to be told as one person's or two persons'."""

    fold: int
    """From 0."""
    first: str
    second: str
    """Paths of items."""
    same: bool


class LabeledFaces:
    """13,233 photos of 5,749 people, 250 x 250; most people have one. There is no split by person.

    The root holds a folder a person, `NAME/NAME_0001.jpg`: that of the original photos, of the funneled or of
    the deep-funneled ones. They differ in alignment and have the same paths, so the fingerprint tells them
    apart. `read_pairs` reads the pairs of the verification benchmark.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="https://ndownloader.figshare.com/files/5976015",
            filename="lfw-funneled.tgz",
            sha256="b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
            md5="1b42dfed7d15c9b2dd63d5e5840c86ad",
            unpack=True,
        ),
        Download(
            url="https://ndownloader.figshare.com/files/5976006",
            filename="pairs.txt",
            sha256="ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592",
            md5="9f1ba174e4e1c508ff7cdf10ac338a7d",
        ),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there are no such folders, or several sets of them."""
        for folder, names in files(root, way_out=_WAY_OUT):
            if faces := [match for name in names if (match := _FACE.fullmatch(name))]:
                sets = sorted({match["set"] or "" for match in faces})
                if len(sets) > 1:
                    problem = f"there are several sets of faces: {', '.join(sets)}"
                    raise DataError(problem, place=root, way_out=_WAY_OUT)
                self._folder = folder / sets[0] if sets[0] else folder
                return [Item(path=m["path"], label=m["name"], group=m["name"]) for m in faces]
        raise DataError("there are no folders NAME with NAME_0001.jpg here", place=root, way_out=_WAY_OUT)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        compare(items, PUBLISHED, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the whole photo: the crop of a face is a protocol's to say."""
        return square(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --from the folder lfw, lfw_funneled or lfw-deepfunneled"


def read_pairs(text: str) -> list[Pair]:
    """The pairs of `pairs.txt`, in its order. `DataError` when a line or the number of pairs is wrong.

    Its first line says folds and pairs; in each fold come lines `NAME i j`, two pictures of one person, then
    lines `NAME i OTHER j`, pictures of two.

    >>> read_pairs("1\\t1\\nAda\\t1\\t4\\nAda\\t2\\tBob\\t3\\n")[0].second
    'Ada/Ada_0004.jpg'
    """
    head, *lines = text.splitlines() or [""]
    try:
        folds, pairs = map(int, head.split())
    except ValueError as error:
        raise DataError(f"the first line is {head!r}, not the numbers of folds and pairs") from error
    if len(lines) != 2 * folds * pairs:
        raise DataError(f"{folds} folds of 2 x {pairs} pairs are announced, {len(lines)} lines follow")
    found = []
    for number, line in enumerate(lines):
        fields = line.split("\t")
        same = number // pairs % 2 == 0
        first, second = fields[:2], fields[2:] if len(fields) == 4 else [fields[0], *fields[2:]]
        if len(fields) != (3 if same else 4) or not (first[1].isdigit() and second[1].isdigit()):
            raise DataError(f"line {number + 2} is no pair of {'one person' if same else 'two'}: {line!r}")
        found.append(Pair(number // (2 * pairs), _path(*first), _path(*second), same))
    return found


def _path(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04}.jpg"
