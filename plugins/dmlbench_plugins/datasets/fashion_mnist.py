"""Fashion-MNIST: small grey pictures of ten kinds of clothes, shoes and bags (Xiao, Rasul, Vollgraf 2017)."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import compare
from dmlbench_plugins.datasets.roots import Folder, folders

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
TRAINING = CLASSES[:5]
"""The first half of the class numbers, as in the field's other sets."""
SIDE = 28
LABELS = {
    "train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "t10k": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
}
"""sha256 of the labels, without their header: MNIST and others have files of the same names."""
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


class _Half(NamedTuple):
    """The authors' training or test pictures."""

    name: str
    labels: bytes
    pixels: bytes


class FashionMnist:
    """70,000 pictures of 28 x 28 pixels, the first `per_class` (up to 7,000) of each of ten classes.

    The first five classes train, the others test. The authors' own split of the pictures, for classification,
    is the column `image_split`. Pictures are published white on black, and are given black on white here.

    The root holds the authors' four files, as they are or unpacked from gzip.
    """

    needs_root = True
    reads_zip = True
    downloads = tuple(Download(url=f"{_URL}/{name}", filename=name, md5=md5) for name, md5 in _MD5.items())

    def __init__(self, *, per_class: int = 7000) -> None:
        self.per_class = per_class
        self._halves: dict[str, _Half] = {}

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a file is missing, damaged or of another set."""
        folder = _folder(root)
        self._halves = {name: _read(folder, name) for name in LABELS}
        taken = Counter[str]()
        found = []
        for half in self._halves.values():
            for number, label in enumerate(half.labels):
                name = CLASSES[label]
                taken[name] += 1
                if taken[name] <= self.per_class:
                    found.append(_item(half.name, number, name))
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless there are as many pictures of each class as are wanted."""
        half = (5, 5 * self.per_class)
        compare(items, {"train": half, "test": half}, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The picture's 28 x 28 bytes, row by row."""
        half, _, number = item.path.partition("/")
        start = int(number) * SIDE**2
        return self._halves[half].pixels[start : start + SIDE**2]

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode L, dark on white."""
        picture = ImageOps.invert(Image.frombytes("L", (SIDE, SIDE), self.source(item)))
        return picture.resize((size, size), Image.Resampling.LANCZOS)


_WAY_OUT = "dmlbench data prepare TASK --download, or --from the folder with train-images-idx3-ubyte.gz"


def _item(half: str, number: int, name: str) -> Item:
    return Item(
        path=f"{half}/{number:05}",
        label=name,
        group=name,
        part="train" if name in TRAINING else "test",
        columns={"image_split": "train" if half == "train" else "test"},
    )


def _folder(root: Path | None) -> Folder:
    for folder in folders(root, way_out=_WAY_OUT):
        if any((folder / f"train-images-idx3-ubyte{end}").exists() for end in ("", ".gz")):
            return folder
    raise DataError("there is no train-images-idx3-ubyte or .gz here", place=root, way_out=_WAY_OUT)


def _read(folder: Folder, half: str) -> _Half:
    labels = _idx(folder, f"{half}-labels-idx1-ubyte", ())
    if hashlib.sha256(labels).hexdigest() != LABELS[half]:
        problem = f"the labels in {half}-labels-idx1-ubyte are not those of Fashion-MNIST"
        raise DataError(f"{problem}; MNIST has files of the same names", place=folder, way_out=_WAY_OUT)
    pixels = _idx(folder, f"{half}-images-idx3-ubyte", (SIDE, SIDE))
    if len(pixels) != len(labels) * SIDE**2:
        raise DataError(
            f"{half}-images-idx3-ubyte has {len(pixels) // SIDE**2:,} pictures for {len(labels):,} labels",
            place=folder,
            way_out=_WAY_OUT,
        )
    return _Half(half, labels, pixels)


def _idx(folder: Folder, name: str, shape: tuple[int, ...]) -> bytes:
    """The values of an IDX file: 0, 0, 8 for bytes, the number of axes, lengths of 32 bits, values."""
    content = _content(folder, name)
    axes = 1 + len(shape)
    lengths = [int.from_bytes(content[4 * n : 4 * n + 4], "big") for n in range(1, axes + 1)]
    if content[:4] != bytes([0, 0, 8, axes]) or tuple(lengths[1:]) != shape:
        raise DataError(f"{name} is no IDX file of bytes with {axes} axes", place=folder, way_out=_WAY_OUT)
    return content[4 + 4 * axes :]


def _content(folder: Folder, name: str) -> bytes:
    """A file as it is, or out of its gzip file."""
    if (folder / name).is_file():
        return (folder / name).read_bytes()
    if not (folder / f"{name}.gz").is_file():
        raise DataError(f"there is neither {name} nor {name}.gz", place=folder, way_out=_WAY_OUT)
    try:
        return gzip.decompress((folder / f"{name}.gz").read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name}.gz is no complete gzip file", place=folder, way_out=_WAY_OUT) from error
