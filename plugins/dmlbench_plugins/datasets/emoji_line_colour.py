"""Emoji as line drawings and in colour: a data set of two domains that comes out of installed packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from dmlbench.api import Download, Item
from dmlbench_plugins.datasets.emoji import Emoji

DOMAINS = {"noto": "line", "openmoji": "colour", "twemoji": "colour"}


class EmojiLineColour:
    """The drawings of `emoji`; the column `domain` is `line` (Noto Emoji) or `colour` (the two others).

    The column `hand` says whose a drawing is. Class, group and superclass are those of `emoji`.
    """

    needs_root = False
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._emoji = Emoji()
        self._drawings: dict[str, Item] = {}

    def versions(self) -> dict[str, str]:
        return self._emoji.versions()

    def items(self, root: Path | None = None) -> list[Item]:
        """All items, sorted by path."""
        self._drawings = {item.path: item for item in self._emoji.items(root)}
        return [in_domain(item) for item in self._drawings.values()]

    def source(self, item: Item) -> bytes:
        return self._emoji.source(self._drawings[item.path])

    def picture(self, item: Item, size: int) -> Image.Image:
        return self._emoji.picture(self._drawings[item.path], size)


def in_domain(drawing: Item) -> Item:
    """An item of `emoji` whose domain is what it is drawn with, and no longer by whom."""
    hand = str(drawing.columns["domain"])
    return replace(drawing, columns={"domain": DOMAINS[hand], "hand": hand})
