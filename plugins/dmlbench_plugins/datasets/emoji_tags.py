"""Emoji with tags, several each: a multi-label data set that comes out of installed packages."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from PIL import Image

from dmlbench.api import Download, Item
from dmlbench_plugins.datasets.emoji import Emoji, bare_code, installed_version, missing_package

PACKAGE = "em-keyboard"
LEAST_EMOJI = 15
"""Emoji that a tag needs, variants counted."""


class EmojiTags:
    """1,393 emoji x 3 hands with 120 tags: the emoji of `emoji` that have a tag, each by all three hands.

    The tags are the keywords by which the package em-keyboard finds an emoji, without the first, its name;
    those count that at least 15 emoji have, of the 1,629 that all three hands draw. An emoji has 1 to 14 of
    them, 2.9 on average. Class, group and column `domain` are those of `emoji`.
    """

    needs_root = False
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._emoji = Emoji()

    def versions(self) -> dict[str, str]:
        return {**self._emoji.versions(), PACKAGE: installed_version(PACKAGE)}

    def items(self, root: Path | None = None) -> list[Item]:
        """All items, sorted by path."""
        drawings = self._emoji.items(root)
        keywords = _keywords()
        words = {item.label: keywords.get(bare_code(item.path.partition("/")[2]), set()) for item in drawings}
        emoji = Counter(word for own in words.values() for word in own)
        tags = {label: {word for word in own if emoji[word] >= LEAST_EMOJI} for label, own in words.items()}
        return [
            replace(item, labels=tuple(sorted(tags[item.label]))) for item in drawings if tags[item.label]
        ]

    def source(self, item: Item) -> bytes:
        return self._emoji.source(item)

    def picture(self, item: Item, size: int) -> Image.Image:
        return self._emoji.picture(item, size)


def _keywords() -> dict[str, set[str]]:
    """What each emoji is found by beside its name, by its code without variation selectors."""
    try:
        package = import_module("em")
    except ModuleNotFoundError as error:
        raise missing_package(PACKAGE) from error
    found = json.loads(files(package).joinpath("emojis.json").read_text(encoding="utf-8"))
    return {
        bare_code("-".join(f"{ord(point):x}" for point in emoji)): set(words[1:])
        for emoji, words in found.items()
    }
