"""Letters and digits in many typefaces: a data set that comes out of installed packages within seconds.

A class is a character; its pictures are its drawings in 38 faces, four styles each of ten families. Two
characters that many faces draw alike, as Latin A and Cyrillic A, are one class.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from functools import cache, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

from dmlbench.api import Download, Item, MissingPackageError

PACKAGES = {
    "justmytype-western-core": ("justmytype_western_core", "fonts/ofl"),
    "matplotlib": ("matplotlib", "mpl-data/fonts/ttf"),
}
"""Module of each package, and where its fonts are in it."""
SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "DIGIT")
LEAST_FACES = 20
"""Faces that have a character: more than half."""
POLYTONIC = range(0x1F00, 0x2000)
"""Greek with breathings, which are two or three pixels at the size that is drawn."""
EM = 0.75
"""Share of the canvas that an em spans. One scale for all: a small letter stays small."""
FILL_MOST = 0.97
"""Share that an unusually wide or tall drawing is shrunk to."""
FINER = 4
"""Drawn so many times larger, then reduced, so that hinting leaves no trace."""

# Each is nearly the picture of a character that comes before it, in a tenth of the faces that have both or
# more; see `tests/plugins/datasets/test_glyphs.py`, which measures it.
LOOK_ALIKES = frozenset(
    "ĐĚěŻƉǍǎǏǑǒǓǔǦǧǴǵȂȃȆȇȊȎȏȖȗɌɑəɡͻΑΒΕΖΗΙΚΛΜΝΟΡΣΤΥΧΪΫεηικνουχϋόύϜϳϷϸϺϽЀЁЅІЇЈАБВГЕЗИКМНОПРСТФХавезикно"
    "прстуфхшѐёѕіїјћѝѰѱѲѳҌҪҫҮүһӀӋӌӏӐӑӒӓӔӕӖӗӘәӠӡӣӥӦӧӨөӯӱԐԑԚԛԜԝᴍḰṀṄṒẆẟỊↄꜦꞍ"
)


class Face(NamedTuple):
    """A typeface in one style."""

    family: str
    style: str
    file: str
    """`PACKAGE:PATH`, below the folder of the package's fonts."""
    weight: int = 0
    """On the axis of a variable font; its other axes stay where they are."""


def _variable(family: str, folder: str, upright: str, italic: str = "") -> list[Face]:
    files = {"": upright, "italic": italic}
    return [
        Face(family, f"{bold}{slant}" or "regular", f"justmytype-western-core:{folder}/{file}", weight)
        for slant, file in files.items()
        for bold, weight in (("", 400), ("bold", 700))
        if file
    ]


def _four(family: str, regular: str, bold: str, italic: str, bold_italic: str) -> list[Face]:
    files = {"regular": regular, "bold": bold, "italic": italic, "bolditalic": bold_italic}
    return [Face(family, style, f"matplotlib:{file}.ttf") for style, file in files.items()]


def _dejavu(family: str, name: str, slanted: str) -> list[Face]:
    return _four(family, name, f"{name}-Bold", f"{name}-{slanted}", f"{name}-Bold{slanted}")


FACES = (
    *_dejavu("dejavu-sans", "DejaVuSans", "Oblique"),
    *_dejavu("dejavu-sans-mono", "DejaVuSansMono", "Oblique"),
    *_dejavu("dejavu-serif", "DejaVuSerif", "Italic"),
    *_variable("inter", "inter", "Inter[opsz,wght].ttf", "Inter-Italic[opsz,wght].ttf"),
    *_variable(
        "jetbrains-mono", "jetbrainsmono", "JetBrainsMono[wght].ttf", "JetBrainsMono-Italic[wght].ttf"
    ),
    *_variable("noto-sans", "notosans", "NotoSans[wdth,wght].ttf", "NotoSans-Italic[wdth,wght].ttf"),
    *_variable("noto-sans-mono", "notosansmono", "NotoSansMono[wdth,wght].ttf"),
    *_variable("noto-serif", "notoserif", "NotoSerif[wdth,wght].ttf", "NotoSerif-Italic[wdth,wght].ttf"),
    *_variable(
        "source-serif", "sourceserif4", "SourceSerif4[opsz,wght].ttf", "SourceSerif4-Italic[opsz,wght].ttf"
    ),
    *_four("stix", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)
_FACES = {f"{face.family}/{face.style}": face for face in FACES}


def base_letter(character: str) -> str:
    """What a letter's accented forms, capital and small, share.

    >>> base_letter("Ế"), base_letter("é"), base_letter("ø")
    ('e', 'e', 'ø')
    """
    return unicodedata.normalize("NFD", character)[0].casefold()


class Glyphs:
    """Characters x faces. The column `domain` is the family, `style` regular, bold, italic or bolditalic.

    A group is a letter with all that is made of it by accents, capital and small. The superclass is the
    script. A face lacks some characters, so classes have 20 to 38 pictures.
    """

    needs_root = False
    downloads: tuple[Download, ...] = ()

    def versions(self) -> dict[str, str]:
        """The packages with the fonts, and the libraries that rasterise them."""
        found = {name: _version(name) for name in PACKAGES}
        return {**found, "pillow": _version("pillow"), "freetype2": features.version("freetype2") or "none"}

    def items(self, root: Path | None = None) -> list[Item]:
        """All items, sorted by path."""
        found = [
            Item(
                path=f"{face.family}/{face.style}/{ord(character):04x}",
                label=unicodedata.name(character).lower(),
                group=base_letter(character),
                columns={"domain": face.family, "style": face.style},
                superclass=_script(character).lower(),
            )
            for face in FACES
            for character in candidates() & drawn_by(face.file)
            if character not in LOOK_ALIKES
        ]
        return sorted(found, key=lambda item: item.path)

    def source(self, item: Item) -> bytes:
        """The digest of the font's file, its weight and the character."""
        name, _, code = item.path.rpartition("/")
        return f"{_digest(_FACES[name].file)} {_FACES[name].weight} {code}".encode()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode L, black on white, in the middle."""
        name, _, code = item.path.rpartition("/")
        return drawn(chr(int(code, 16)), _font(_FACES[name], round(FINER * EM * size)), size)


@cache
def candidates() -> frozenset[str]:
    """Letters and digits of `SCRIPTS` in enough faces, without compatibility forms."""
    faces = Counter(character for face in FACES for character in drawn_by(face.file))
    return frozenset(
        character
        for character, count in faces.items()
        if count >= LEAST_FACES and ord(character) not in POLYTONIC and _is_plain(character)
    )


def drawn(character: str, font: ImageFont.FreeTypeFont, size: int) -> Image.Image:
    """`character` in the middle of `size` x `size` pixels, its scale that of `font`, reduced by `FINER`."""
    left, top, right, bottom = font.getbbox(character)
    width, height = int(right - left), int(bottom - top)
    side = max(FINER * size, -int(-max(width, height) // FILL_MOST))
    paper = Image.new("L", (side, side), 255)
    place = ((side - width) // 2 - left, (side - height) // 2 - top)
    ImageDraw.Draw(paper).text(place, character, fill=0, font=font)
    if paper.getextrema()[0] == 255:
        raise ValueError("the drawing is empty")
    return paper.resize((size, size), Image.Resampling.BOX)


@cache
def drawn_by(file: str) -> frozenset[str]:
    """What a font has a drawing for, not the box that stands for the rest."""
    try:
        from fontTools.ttLib import TTFont
    except ModuleNotFoundError as error:
        raise _missing("fonttools") from error
    with TTFont(_path(file), lazy=True) as font:
        return frozenset(chr(code) for code, glyph in font.getBestCmap().items() if glyph != ".notdef")


def _script(character: str) -> str:
    return unicodedata.name(character, "none").split()[0]


def _is_plain(character: str) -> bool:
    """A letter or digit, and no compatibility form of others: a ligature, a superscript, a bold one."""
    return (
        unicodedata.category(character) in ("Lu", "Ll", "Lo", "Nd")
        and _script(character) in SCRIPTS
        and unicodedata.normalize("NFKD", character) == unicodedata.normalize("NFD", character)
    )


@lru_cache(maxsize=2 * len(FACES))
def _font(face: Face, em: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(_path(face.file), em, layout_engine=ImageFont.Layout.BASIC)
    if face.weight:
        axes = font.get_variation_axes()
        font.set_variation_by_axes([face.weight if a["name"] == b"Weight" else a["default"] for a in axes])
    return font


@cache
def _digest(file: str) -> str:
    return hashlib.sha256(_path(file).read_bytes()).hexdigest()


def _path(file: str) -> Path:
    package, _, path = file.partition(":")
    module, folder = PACKAGES[package]
    found = find_spec(module)  # importing matplotlib would take longer than all the fonts
    if found is None or found.origin is None:
        raise _missing(package)
    return Path(found.origin).parent / folder / path


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise _missing(package) from error


def _missing(package: str) -> MissingPackageError:
    return MissingPackageError(
        f"glyphs are drawn with the package {package}, which is not installed",
        way_out='pip install "dmlbench[glyphs]"',
    )
