"""BU-3DFE: seven expressions of a hundred people, six of them in four intensities (Yin et al. 2006)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item, UsageError
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.expression_codes import CODES
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, files

PEOPLE = 100

_FACE = re.compile(
    rf"(?:.*/)?(?P<who>[FM]\d{{4}})/(?P=who)_(?P<code>{'|'.join(CODES)})(?P<level>0[0-4])[A-Z]{{2}}_F3D\.bmp"
)


class Bu3dfe:
    """2,500 textures of scanned faces: 100 people, neutral and six expressions in four intensities.

    The root, or any folder below it, holds a folder a person, `F0001/F0001_AN01WH_F3D.bmp`: who, expression,
    intensity (01 to 04, neutral 00), ancestry. Who is on a picture is its group; expression and intensity are
    the column `subclass`. `least` leaves weaker expressions out, 3 for the two strongest.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="",
            filename="BU_3DFE.zip",
            terms="a licence agreement with Binghamton University",
            steps="sign the agreement with Binghamton University",
        ),
    )

    def __init__(self, *, least: int = 1) -> None:
        if not 1 <= least <= 4:
            raise UsageError(f"least = {least}", way_out="an intensity from 1 to 4")
        self.least = least
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there are no such names."""
        for folder, names in files(root, way_out=_WAY_OUT):
            if faces := [match for name in names if (match := _FACE.fullmatch(name))]:
                self._folder = folder
                return [_item(match) for match in faces if match["code"] == "NE" or self._strong(match)]
        raise DataError("there are no pictures like F0001_AN01WH_F3D.bmp here", place=root, way_out=_WAY_OUT)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        published: Published = {"": (7, PEOPLE * (1 + 6 * (5 - self.least)))}
        compare(items, published, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The picture file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square of the texture."""
        return square(self.source(item), size)

    def _strong(self, match: re.Match[str]) -> bool:
        return int(match["level"]) >= self.least


_WAY_OUT = "dmlbench data prepare bu-3dfe --from the folder or zip file with F0001/F0001_AN01WH_F3D.bmp"


def _item(match: re.Match[str]) -> Item:
    expression = CODES[match["code"]]
    subclass = f"{expression} {int(match['level'])}"
    return Item(path=match[0], label=expression, group=match["who"], columns={"subclass": subclass})
