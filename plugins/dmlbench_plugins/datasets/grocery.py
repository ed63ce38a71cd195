"""Grocery Store: phone photos of fruit, vegetables and packages (Klasson, Zhang, Kjellström 2019)."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.photos import square, whole

COMMIT = "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc"
LISTS = ("train", "val", "test")
"""The authors' lists. All three hold all kinds of classes, so they say nothing about a split by class."""
SHORTER_SIDE, QUALITY = 96, 82
"""Of the small edition: Lanczos reduction, then a JPEG file with optimised tables."""


class GroceryStore:
    """5,421 photos of 81 fine classes in 43 coarse ones; the superclass is the coarse class.

    The root is the authors' repository or its small edition, as a zip file, an unpacked folder, or a folder
    with the zip file in it. Photos of full size are reduced to those of the small edition, byte for byte, so
    that both give one fingerprint. Pictures are the photos' central squares. The product pictures from the
    makers' catalogues are left out.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url=f"https://github.com/marcusklasson/GroceryStoreDataset/archive/{COMMIT}.zip",
            filename="GroceryStoreDataset.zip",
        ),
    )

    def __init__(self) -> None:
        self._folder: Path | zipfile.Path = Path()
        self._last = ("", b"")

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when the lists are missing or damaged."""
        if root is None:
            raise DataError("Grocery Store needs the folder or zip file that holds it", way_out=_WAY_OUT)
        self._folder = _folder(root)
        names = _class_names(self._folder)
        found = [item for name in LISTS for item in _listed(self._folder, f"{name}.txt", names)]
        return sorted(found, key=lambda item: item.path)

    def source(self, item: Item) -> bytes:
        """The JPEG file of the small edition."""
        if self._last[0] != item.path:
            self._last = (item.path, _small((self._folder / item.path).read_bytes()))
        return self._last[1]

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square."""
        return square(self.source(item), size)

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, with a shorter side of `size`."""
        return whole(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --download, or --from the repository's folder or zip file"


def _small(content: bytes) -> bytes:
    """The photo with a shorter side of 96 pixels; bytes of one that has it are left as they are."""
    with Image.open(io.BytesIO(content)) as photo:
        factor = SHORTER_SIDE / min(photo.size)
        if factor == 1:
            return content
        width, height = (round(side * factor) for side in photo.size)
        small = photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def _folder(root: Path) -> Path | zipfile.Path:
    """The folder with the lists: `root`, its `dataset`, or that folder in a zip file at or in `root`."""
    for folder in (root, root / "dataset"):
        if (folder / "train.txt").is_file():
            return folder
    archives = [root] if root.is_file() else sorted(root.glob("*.zip"))
    for archive in archives:
        try:
            file = zipfile.ZipFile(archive)
        except zipfile.BadZipFile as error:
            raise DataError("not a complete zip file", place=archive, way_out=_WAY_OUT) from error
        for name in file.namelist():
            folder_name, _, last = name.rpartition("/")
            if last == "train.txt":
                return zipfile.Path(file, f"{folder_name}/" if folder_name else "")
    raise DataError("there is no train.txt of Grocery Store here", place=root, way_out=_WAY_OUT)


def _class_names(folder: Path | zipfile.Path) -> dict[str, tuple[str, str]]:
    """Fine class and coarse class, by the number of the fine one."""
    rows = csv.DictReader(io.StringIO(_text(folder, "classes.csv")))
    try:
        return {
            row["Class ID (int)"]: (row["Class Name (str)"], row["Coarse Class Name (str)"]) for row in rows
        }
    except KeyError as error:
        raise DataError(f"classes.csv has no column {error}", place=folder, way_out=_WAY_OUT) from error


def _listed(folder: Path | zipfile.Path, name: str, classes: dict[str, tuple[str, str]]) -> Iterator[Item]:
    """One item a line of `path, fine class, coarse class`."""
    for number, line in enumerate(_text(folder, name).splitlines(), start=1):
        path, *ids = (part.strip() for part in line.split(","))
        if len(ids) != 2 or ids[0] not in classes:
            raise DataError(f"line {number} of {name} names no class: {line!r}", place=folder)
        fine, coarse = classes[ids[0]]
        yield Item(path=path, label=fine, group=fine, superclass=coarse)


def _text(folder: Path | zipfile.Path, name: str) -> str:
    file = folder / name
    if not file.is_file():
        raise DataError(f"there is no {name}", place=folder, way_out=_WAY_OUT)
    return file.read_text(encoding="utf-8")
