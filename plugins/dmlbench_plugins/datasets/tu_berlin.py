"""TU-Berlin sketches (Eitz, Hays, Alexa 2012) and the photos that extend them (Zhang et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dmlbench.api import Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, folder_with
from dmlbench_plugins.datasets.sketch_lists import DATASET_ZIP, List, file_of, kind, listed

LISTS = (
    List("ImageResized_ready_filelist_train.txt", "photo", "train"),
    List("ImageResized_ready_filelist_zero.txt", "photo", "test"),
    List("png_ready_filelist_train.txt", "sketch", "train"),
    List("png_ready_filelist_test.txt", "sketch", "train", held_out=True),
    List("png_ready_filelist_zero.txt", "sketch", "test"),
)
PUBLISHED: Published = {
    "test photos": (30, 27989),
    "train sketches": (220, 17600),
    "test sketches": (30, 2400),
}
"""Papers differ in how many photos train (about 176,000), so that these are not counted."""


class TuBerlin:
    """20,000 sketches of 250 classes, about 204,000 photos, split as zero-shot retrieval from sketches does.

    220 classes train, 30 test. Columns: `domain`, photo or sketch, and `held_out`, 1 for sketches of training
    classes that are for validation.

    The root is the folder `TUBerlin` of SAKE or MATHM, or a zip file: the lists in `zeroshot`, and the
    pictures in `png_ready/` and `ImageResized_ready/`. Folders whose names lack `_ready`, as the authors of
    the sketches have them, will do.
    """

    needs_root = True
    reads_zip = True
    downloads = (DATASET_ZIP,)

    def __init__(self) -> None:
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a list is missing or damaged."""
        self._folder = folder_with(root, "zeroshot", way_out=_WAY_OUT)
        found = listed(self._folder / "zeroshot", LISTS, way_out=_WAY_OUT)
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items, training photos aside, are as many as the lists of the field have."""
        compare(
            [item for item in items if kind(item) != "train photos"], PUBLISHED, part=kind, way_out=_WAY_OUT
        )

    def source(self, item: Item) -> bytes:
        """The JPEG or PNG file."""
        return file_of(self._folder, item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square; sketches are black on white."""
        return square(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --from the folder TUBerlin with zeroshot/ in it"
