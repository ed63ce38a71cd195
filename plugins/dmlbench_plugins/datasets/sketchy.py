"""Sketchy and its extension: photos, and sketches of them (Sangkloy et al. 2016; Liu et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from dmlbench.api import Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, folder_with
from dmlbench_plugins.datasets.sketch_lists import DATASET_ZIP, List, file_of, kind, listed

SKETCHES = "sketch_tx_000000000000_ready_filelist"
LISTS = (
    List("all_photo_filelist_train.txt", "photo", "train"),
    List("all_photo_filelist_zero.txt", "photo", "test"),
    List(f"{SKETCHES}_train.txt", "sketch", "train"),
    List(f"{SKETCHES}_test.txt", "sketch", "train", held_out=True),
    List(f"{SKETCHES}_zero.txt", "sketch", "test"),
)
FOLDERS = {25: "zeroshot1", 21: "zeroshot2"}
EXTENSION = "EXTEND_image_sketchy_ready/"
PUBLISHED: dict[int, Published] = {
    25: {
        "train photos": (100, 68401),
        "test photos": (25, 17101),
        "train sketches": (100, 60252),
        "test sketches": (25, 15229),
    },
    21: {
        "train photos": (104, 72949),
        "test photos": (21, 12553),
        "train sketches": (104, 62787),
        "test sketches": (21, 12694),
    },
}
TWICE = {25: {"train photos": 10000, "test photos": 2499}, 21: {"train photos": 10399, "test photos": 2100}}
"""Photos that the lists name both in Sketchy and in its extension: all 12,500 of Sketchy but one."""


class Sketchy:
    """85,502 photos and 75,481 sketches of 125 classes, split as zero-shot retrieval from sketches does.

    `unseen` classes test, 25 or 21; the others train. With `dedupe` the photos of the extension that are in
    Sketchy as well are left out: published numbers have them twice. Columns: `domain`, photo or sketch, and
    `held_out`, 1 for sketches of training classes that are for validation.

    The root is the folder `Sketchy` of SAKE or MATHM, or a zip file: the lists in `zeroshot1` (25) or
    `zeroshot2` (21), and the pictures in `256x256/` and `EXTEND_image_sketchy_ready/`. Folders whose names
    lack `_ready`, as the authors of Sketchy have them, will do.
    """

    needs_root = True
    reads_zip = True
    downloads = (DATASET_ZIP,)

    def __init__(self, *, unseen: Literal[25, 21] = 25, dedupe: bool = False) -> None:
        self.unseen = unseen
        self.dedupe = dedupe
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a list is missing or damaged."""
        lists = FOLDERS[self.unseen]
        self._folder = folder_with(root, lists, way_out=_WAY_OUT)
        found = list(listed(self._folder / lists, LISTS, way_out=_WAY_OUT))
        if self.dedupe:
            original = {_photo(item) for item in found if not item.path.startswith(EXTENSION)}
            found = [i for i in found if not (i.path.startswith(EXTENSION) and _photo(i) in original)]
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as the lists of the field have."""
        twice = TWICE[self.unseen] if self.dedupe else {}
        published = {
            name: (classes, pictures - twice.get(name, 0))
            for name, (classes, pictures) in PUBLISHED[self.unseen].items()
        }
        compare(items, published, part=kind, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG or PNG file."""
        return file_of(self._folder, item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square; sketches are black on white."""
        return square(self.source(item), size)


_WAY_OUT = "dmlbench data prepare TASK --from the folder Sketchy with zeroshot1/ or zeroshot2/ in it"


def _photo(item: Item) -> tuple[str, str]:
    """What the two copies of a photo have in common."""
    return item.label, item.path.rpartition("/")[2]
