"""A folder of class folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.own_data import SIDES, content_of, shorter_side, square, stamp_of, whole

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
"""What counts as a picture; any other file is passed over, and so is what begins with a dot."""


class Folder:
    """A class is a folder with pictures in it, at any depth; what holds a class is its superclass.

    Where all that is in the root is called train, validation or test, the pictures are on that side, and a
    class is named by the path below. Links are followed. The central square of a picture is seen.
    """

    needs_root = True
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._root = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` for a link that goes nowhere or round in circles."""
        if root is None or not root.is_dir():
            raise DataError("not a folder", place=root, way_out="folder:PATH, a folder of class folders")
        self._root = root
        paths = sorted(path.relative_to(root).as_posix() for path in _pictures(root))
        loose = next((path for path in paths if "/" not in path), None)
        if loose is not None:
            raise DataError(
                "the picture is in no class folder",
                place=root / loose,
                way_out="name the folder that holds the class folders, or a CSV file with csv:PATH",
            )
        tops = {path.partition("/")[0].lower() for path in paths}
        sided = len(tops) > 1 and tops <= SIDES.keys()
        return [self._item(path, sided) for path in paths]

    def source(self, item: Item) -> bytes:
        """The file."""
        return content_of(self._root / item.path)

    def picture(self, item: Item, size: int) -> Image.Image:
        """The central square."""
        return square(self.source(item), size)

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """With a shorter side of `size`."""
        return whole(self.source(item), size)

    def stamp(self, item: Item) -> str:
        """Changes when the file does."""
        return stamp_of(self._root / item.path)

    def side(self, item: Item) -> int:
        """The shorter side in pixels."""
        return shorter_side(self.source(item))

    def _item(self, path: str, sided: bool) -> Item:
        side, _, below = path.partition("/")
        name = (below if sided else path).rpartition("/")[0]
        if not name:
            raise DataError("the picture is in no class folder", place=self._root / path)
        return Item(
            path=path,
            label=name,
            group=name,
            part=SIDES[side.lower()] if sided else "",
            superclass=name.rpartition("/")[0] or None,
            place=str(self._root / path),
        )


def _pictures(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """The picture files in `folder` and below. `above`: the folders on the way here, by device and number."""
    here = folder.stat()
    above |= {(here.st_dev, here.st_ino)}
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in found:
        path = folder / entry.name
        _check_name(path)
        try:
            inode = path.stat()
        except OSError as error:
            raise DataError(f"the link leads nowhere: {error.strerror}", place=path) from error
        if not path.is_dir():
            if path.suffix.lower() in ENDINGS:
                yield path
        elif (inode.st_dev, inode.st_ino) in above:
            raise DataError(
                "the link leads back to a folder that it is in", place=path, way_out="delete the link"
            )
        elif entry.name != "__MACOSX":
            yield from _pictures(path, above)


def _check_name(path: Path) -> None:
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the name {os.fsencode(path.name)!r} is not UTF-8", place=path.parent, way_out="rename it"
        ) from error
