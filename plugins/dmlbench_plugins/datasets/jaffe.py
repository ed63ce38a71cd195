"""JAFFE: seven expressions posed by ten Japanese women (Lyons, Akamatsu, Kamachi, Gyoba 1998)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.expression_codes import CODES
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, files

PUBLISHED: Published = {"": (7, 213)}

_FACE = re.compile(rf"(?:.*/)?(?P<who>[A-Z]{{2}})\.(?P<code>{'|'.join(CODES)})\d\.\d+\.tiff?")


class Jaffe:
    """213 grey faces of 256 x 256 pixels, three or four of each woman in each expression.

    The root, or any folder below it, holds `KA.AN1.39.tiff`: who, expression and number, serial. Who is on a
    picture is its group.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="",
            filename="jaffe.zip",
            terms="for non-commercial research, on request: https://zenodo.org/records/3451524",
            steps="ask at Zenodo, record 3451524",
        ),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there are no such names."""
        for folder, names in files(root, way_out=_WAY_OUT):
            if faces := [match for name in names if (match := _FACE.fullmatch(name))]:
                self._folder = folder
                return [Item(path=m[0], label=CODES[m["code"]], group=m["who"]) for m in faces]
        raise DataError("there are no pictures like KA.AN1.39.tiff here", place=root, way_out=_WAY_OUT)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        compare(items, PUBLISHED, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The TIFF file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the whole picture."""
        return square(self.source(item), size)


_WAY_OUT = "dmlbench data prepare jaffe --from the folder or zip file with KA.AN1.39.tiff"
