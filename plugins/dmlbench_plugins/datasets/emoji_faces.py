"""Faces among the emoji as expressions: a closed set of classes, each drawn by three hands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from dmlbench.api import Download, Item
from dmlbench_plugins.datasets.emoji import Emoji

ANIMALS = ("cat-face", "monkey-face")
"""Unicode's subgroups of faces whose names do not begin with `face-`."""


class EmojiFaces:
    """129 faces x 3 hands in 14 expressions: the emoji of `emoji` in Unicode's subgroups of faces.

    A class is a subgroup, e.g. `face-smiling`. Who drew it, the hand, is the identity (the group), and stands
    in the column `domain`; which emoji it is stands in the column `subclass`.
    """

    needs_root = False
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._emoji = Emoji()

    def versions(self) -> dict[str, str]:
        return self._emoji.versions()

    def items(self, root: Path | None = None) -> list[Item]:
        """All items, sorted by path."""
        return [
            replace(
                item,
                label=item.superclass or "",
                group=str(item.columns["domain"]),
                columns={**item.columns, "subclass": item.label},
                superclass=None,
            )
            for item in self._emoji.items(root)
            if item.superclass is not None
            and (item.superclass.startswith("face-") or item.superclass in ANIMALS)
        ]

    def source(self, item: Item) -> bytes:
        return self._emoji.source(_as_emoji(item))

    def picture(self, item: Item, size: int) -> Image.Image:
        return self._emoji.picture(_as_emoji(item), size)


def _as_emoji(item: Item) -> Item:
    """The item as `Emoji` knows it, which draws by the label."""
    return replace(item, label=str(item.columns["subclass"]))
