"""UC Merced Land Use: aerial pictures of 21 kinds of land (Yang, Newsam 2010)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dmlbench.api import Download, Item
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, folder_with

CLASSES = (
    *("agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential"),
    *("forest", "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark"),
    *("overpass", "parkinglot", "river", "runway", "sparseresidential", "storagetanks", "tenniscourt"),
)
PER_CLASS = 100


class UcMerced:
    """2,100 aerial pictures, 21 classes x 100, about 256 x 256 pixels, in colour. There is no split.

    The root is the authors' zip file, its folder `UCMerced_LandUse` with `Images/agricultural/
    agricultural00.tif`, or a folder around either. The names of all pictures are known, so that a missing one
    is an item that cannot be read.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="http://weegee.vision.ucmerced.edu/datasets/UCMerced_LandUse.zip",
            filename="UCMerced_LandUse.zip",
            sha256="06c539ef28703a58fb07bd2837991ac7c48b813b00bb12ac197efd813a18daeb",
            md5="5b7ec56793786b6dc8a908e8854ac0e4",
            size=332_468_434,
        ),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there is no folder `Images`."""
        self._folder = folder_with(root, "Images", way_out=_WAY_OUT)
        return [
            Item(path=f"Images/{name}/{name}{number:02}.tif", label=name, group=name)
            for name in CLASSES
            for number in range(PER_CLASS)
        ]

    def source(self, item: Item) -> bytes:
        """The TIFF file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square: a few pictures are some pixels off 256 x 256."""
        return square(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --from the folder or zip file UCMerced_LandUse"
