"""Grocery Store with two labels a photo, its fine and its coarse class."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Item
from dmlbench_plugins.datasets.grocery import GroceryStore

NEIGHBOURS = 10
"""Photos of one class whose numbers follow each other: mostly of one shelf, some all but equal."""


class GroceryTags:
    """The 5,421 photos of `grocery`, each with its fine class (81) and its coarse one (43) as labels.

    Photos of one fine class share two labels, those of one coarse class one. A group is ten photos of a fine
    class that follow each other in one of the authors' lists, so that a burst is seldom on two sides.
    """

    needs_root = True
    reads_zip = True
    downloads = GroceryStore.downloads

    def __init__(self) -> None:
        self._photos = GroceryStore()

    def versions(self) -> dict[str, str]:
        return self._photos.versions()

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when the lists are missing or damaged, or a photo has no
        number."""
        return [
            replace(item, group=_burst(item), labels=(item.label, f"coarse/{item.superclass}"))
            for item in self._photos.items(root)
        ]

    def source(self, item: Item) -> bytes:
        return self._photos.source(item)

    def picture(self, item: Item, size: int) -> Image.Image:
        return self._photos.picture(item, size)


def _burst(item: Item) -> str:
    """`train/Leek/2`: the photos of this class in this list with the numbers 21 to 30."""
    number = re.search(r"_(\d+)\.jpg$", item.path)
    if number is None:
        raise DataError(f"{item.path} does not end in the number of a photo", place="Grocery Store")
    part = item.path.partition("/")[0]
    return f"{part}/{item.label}/{(int(number[1]) - 1) // NEIGHBOURS}"
