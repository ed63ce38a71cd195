"""Omniglot: handwritten characters of 50 alphabets, 20 drawers each (Lake, Salakhutdinov, Tenenbaum 2015)."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Literal
from zipfile import BadZipFile, ZipFile

from PIL import Image

from dmlbench.api import DataError, Download, Item

SOURCE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"

Side = Literal["train", "test"]
#: Archive (or folder), side, characters. Each character has 20 drawings.
PARTS: tuple[tuple[str, Side, int], ...] = (
    ("images_background", "train", 964),
    ("images_evaluation", "test", 659),
)
DRAWERS = 20


class Omniglot:
    """1,623 characters x 20 drawings of 105 x 105 pixels, black on white.

    The root holds the authors' two archives, read without unpacking, or the folders that are in them. A class
    is a character, a group an alphabet; the background set trains, the evaluation set tests. The column
    `drawer` is the number that a file's name ends with, which says who of an alphabet's drew it. `check`
    demands the published number of characters and drawings; without it any part of the set will do.
    """

    needs_root = True
    downloads = (
        Download(
            url=f"{SOURCE}/images_background.zip",
            filename="images_background.zip",
            md5="68d2efa1b9178cc56df9314c21c6e718",
        ),
        Download(
            url=f"{SOURCE}/images_evaluation.zip",
            filename="images_evaluation.zip",
            md5="6b91aef0f799c5bb55b94e3f2daec811",
        ),
    )

    def __init__(self, *, check: bool = True) -> None:
        self.check = check
        self._root = Path()
        self._archives: dict[str, ZipFile] = {}

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when an archive is missing, damaged or incomplete."""
        if root is None:
            raise DataError("Omniglot needs the folder that holds its files", way_out=_WAY_OUT)
        self._root = root
        found = [item for name, side, _ in PARTS for item in self._part(name, side)]
        if self.check:
            _check_counts(found, root)
        return sorted(found, key=lambda item: item.path)

    def source(self, item: Item) -> bytes:
        """The PNG file."""
        archive = self._archives.get(item.path.partition("/")[0])
        return archive.read(item.path) if archive else (self._root / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode L, ink dark on white."""
        with Image.open(io.BytesIO(self.source(item))) as file:
            return file.convert("L").resize((size, size), Image.Resampling.LANCZOS)

    def _part(self, name: str, side: Side) -> list[Item]:
        return [_item(path, side) for path in self._paths(name) if _is_drawing(path)]

    def _paths(self, name: str) -> list[str]:
        """What the archive or folder `name` holds, as paths that start with `name`."""
        folder, file = self._root / name, self._root / f"{name}.zip"
        if folder.is_dir():
            self._archives.pop(name, None)
            return [path.relative_to(self._root).as_posix() for path in folder.rglob("*.png")]
        if not file.is_file():
            raise DataError(f"neither {file.name} nor {name}/ is there", place=self._root, way_out=_WAY_OUT)
        try:
            self._archives[name] = ZipFile(file)
        except BadZipFile as error:
            raise DataError(
                f"{file.name} is no complete zip file", place=self._root, way_out=_WAY_OUT
            ) from error
        return self._archives[name].namelist()


_WAY_OUT = "dmlbench data prepare omniglot --download, or --from the folder with images_background.zip"


def _is_drawing(path: str) -> bool:
    """`images_background/ALPHABET/CHARACTER/FILE.png`; archives made on a Mac hold `__MACOSX` beside them."""
    parts = PurePosixPath(path).parts
    return len(parts) == 4 and parts[0] in {name for name, _, _ in PARTS} and parts[3].endswith(".png")


def _item(path: str, side: Side) -> Item:
    _, alphabet, character, file = PurePosixPath(path).parts
    return Item(
        path=path,
        label=f"{alphabet}/{character}",
        group=alphabet,
        part=side,
        columns={"drawer": file.removesuffix(".png").rpartition("_")[2]},
        superclass=alphabet,
    )


def _check_counts(items: list[Item], root: Path) -> None:
    for name, side, characters in PARTS:
        drawings = Counter(item.label for item in items if item.part == side)
        if len(drawings) != characters:
            problem = f"{name} has {len(drawings)} characters, published are {characters}"
        elif odd := sorted(label for label, count in drawings.items() if count != DRAWERS):
            problem = f"{name}: {odd[0]} has {drawings[odd[0]]} drawings, published are {DRAWERS}"
        else:
            continue
        raise DataError(problem, place=root, way_out=f"{_WAY_OUT}; for a part of the set: check = false")
