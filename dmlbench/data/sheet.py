"""A contact sheet: some classes of a prepared data set, a row a class."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from dmlbench.data.split import SIDES, Side, seeded_order
from dmlbench.data.store import Prepared
from dmlbench.data.verify import listed
from dmlbench.files import replacing

CLASSES, PICTURES = 4, 10
"""Classes of each side, pictures of each class; drawn at random where there are more."""
CELL, GAP, MARGIN, TEXT = 96, 6, 16, 240
"""Pixels: the side of a picture as it is shown, between two, around all, and the room for a name."""
LARGE, SMALL = 17, 13
INK, PALE, PAPER, FRAME = "#202020", "#707070", "white", "#c8c8c8"


def write_sheet(data: Prepared, title: str, file: Path, *, seed: int = 0) -> None:
    """Write a PNG of `CLASSES` classes of each side to `file`; equal seeds choose equal classes."""
    rows = [(side, name, pictures) for side in SIDES for name, pictures in _chosen(data, side, seed)]
    columns = max((len(pictures) for _, _, pictures in rows), default=1)
    head = MARGIN + 2 * LARGE
    width = 2 * MARGIN + TEXT + columns * (CELL + GAP) - GAP
    sheet = Image.new("RGB", (width, head + len(rows) * (CELL + GAP) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(LARGE), ImageFont.load_default(SMALL)
    draw.text((MARGIN, MARGIN), _fitted(draw, title, large, width - 2 * MARGIN), INK, large)
    for number, (side, name, pictures) in enumerate(rows):
        top = head + number * (CELL + GAP)
        for line, text in enumerate(_lines(draw, name, large)):
            draw.text((MARGIN, top + 12 + line * (LARGE + 4)), text, INK, large)
        draw.text((MARGIN, top + CELL - SMALL - 12), side, PALE, small)
        for column, row in enumerate(pictures):
            at = (MARGIN + TEXT + column * (CELL + GAP), top)
            sheet.paste(_picture(data, row), at)
            draw.rectangle((*at, at[0] + CELL - 1, at[1] + CELL - 1), outline=FRAME)
    with replacing(file) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _chosen(data: Prepared, side: Side, seed: int) -> list[tuple[str, list[int]]]:
    """Some classes of the side, by name, with the rows of some pictures."""
    found = listed(data)[side]
    chosen = sorted(seeded_order(found.classes, seed)[:CLASSES])
    of_class: dict[str, dict[str, int]] = {name: {} for name in chosen}
    for row, label, path in zip(found.rows, found.labels, found.paths, strict=True):
        if (name := found.classes[label]) in of_class:
            of_class[name][path] = row
    return [
        (name, [rows[path] for path in seeded_order(rows, seed)[:PICTURES]])
        for name, rows in of_class.items()
    ]


def _picture(data: Prepared, row: int) -> Image.Image:
    """As it is stored; enlarged without smoothing, so that its pixels can be seen."""
    pixels = data.picture(row).numpy()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, :3].copy())
    how = Image.Resampling.NEAREST if picture.width < CELL else Image.Resampling.LANCZOS
    return ImageOps.pad(picture.convert("RGB"), (CELL, CELL), how, color="white")


def _lines(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """`text` on at most two lines of the room for a name."""
    room = TEXT - 2 * GAP
    if draw.textlength(text, font) <= room:
        return [text]
    words = text.replace("/", "/ ").replace("_", "_ ").split()
    first = words.pop(0)
    while words and draw.textlength(_joined([first, words[0]]), font) <= room:
        first = _joined([first, words.pop(0)])
    return [_fitted(draw, line, font, room) for line in (first, _joined(words)) if line]


def _joined(words: list[str]) -> str:
    return " ".join(words).replace("/ ", "/").replace("_ ", "_")


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """`text`, cut where the room ends."""
    if draw.textlength(text, font) <= room:
        return text
    while text and draw.textlength(f"{text}…", font) > room:
        text = text[:-1]
    return f"{text}…"
