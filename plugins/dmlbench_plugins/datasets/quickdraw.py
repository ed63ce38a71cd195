"""Quick, Draw!: sketches of words, drawn in twenty seconds (Google 2017; Ha, Eck 2018)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import PIL
from PIL import Image, ImageDraw

from dmlbench.api import DataError, Download, Item

WORDS = 345
SIDE = 255
"""Simplified drawings are scaled so that their longer side reaches it."""
PEN = 16
"""Width of a line, in units of `SIDE`: that of the authors' own 28 x 28 bitmaps."""
FINER = 4
"""Drawn so many times larger, then reduced: Pillow's lines have hard edges."""


class QuickDraw:
    """345 words, the first `per_word` sketches of each in the order of the files. There is no split.

    The root is the folder of the authors' simplified drawings, `.ndjson` or `.ndjson.gz`, a file a word
    (`full/simplified/cat.ndjson`), or one file of all words. A file whose name has the word of its first
    drawing in it is taken for the file of that word, and read until it has enough of them: the whole set,
    50,426,266 sketches, has 23 GB. Columns: `country`, and `recognised`, 1 where the game knew the word.
    """

    needs_root = True
    downloads: tuple[Download, ...] = ()

    def __init__(self, *, per_word: int = 100) -> None:
        self.per_word = per_word
        self._drawings: dict[str, bytes] = {}

    def versions(self) -> dict[str, str]:
        """Pillow draws the strokes."""
        return {"pillow": PIL.__version__}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there are no such files, or a line is no drawing."""
        if root is None:
            raise DataError("Quick, Draw! needs the folder or file that holds its drawings", way_out=_WAY_OUT)
        self._drawings, found, taken = {}, [], Counter[str]()
        for file in _files(root):
            for record in _records(file, self.per_word):
                word = record["word"]
                path = f"{word}/{record['key_id']}"
                if taken[word] < self.per_word and path not in self._drawings:
                    taken[word] += 1
                    self._drawings[path] = json.dumps(record["drawing"], separators=(",", ":")).encode()
                    columns = {
                        "country": str(record.get("countrycode", "")),
                        "recognised": int(bool(record.get("recognized"))),
                    }
                    found.append(Item(path=path, label=word, group=word, columns=columns))
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless there are sketches of all words."""
        words = len({item.label for item in items})
        if words != WORDS:
            raise DataError(f"there are sketches of {words} words, published are {WORDS}", way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The strokes as JSON."""
        return self._drawings[item.path]

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode L, black on white, in the middle."""
        return rendered(json.loads(self.source(item)), size)


_WAY_OUT = "dmlbench data prepare TASK --from a folder of simplified drawings, WORD.ndjson or WORD.ndjson.gz"


def rendered(drawing: list[list[list[float]]], size: int) -> Image.Image:
    """Strokes as `[[x, …], [y, …]]` with values from 0 to 255, in smooth lines on `size` x `size` pixels."""
    xs, ys = ([value for stroke in drawing for value in stroke[axis]] for axis in (0, 1))
    if not xs:
        raise ValueError("a drawing without a stroke")
    scale = FINER * size / (SIDE + 2 * PEN)  # a margin of half a line, and as much of paper
    left = FINER * size / 2 - scale * (min(xs) + max(xs)) / 2
    top = FINER * size / 2 - scale * (min(ys) + max(ys)) / 2
    paper = Image.new("L", (FINER * size, FINER * size), 255)
    pen, width = ImageDraw.Draw(paper), scale * PEN
    for stroke in drawing:
        points = [(left + scale * x, top + scale * y) for x, y in zip(stroke[0], stroke[1], strict=True)]
        pen.line(points, fill=0, width=round(width))
        for x, y in points:  # round ends and corners, and dots
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=0)
    return paper.resize((size, size), Image.Resampling.BOX)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = sorted(path for path in root.rglob("*") if path.name.endswith((".ndjson", ".ndjson.gz")))
    if not found:
        raise DataError("there are no files .ndjson or .ndjson.gz here", place=root, way_out=_WAY_OUT)
    return found


def _records(file: Path, enough: int) -> Iterator[dict[str, Any]]:
    """The drawings of a file; of one that holds a single word no more than are wanted."""
    opener = gzip.open if file.suffix == ".gz" else open
    first = ""
    with opener(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                first = first or str(record["word"])
                strokes = [len(stroke) for stroke in record["drawing"]]
                record["key_id"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise DataError(f"line {number} of {file.name} is no drawing: {error}", place=file) from error
            if any(count != 2 for count in strokes):
                raise DataError(
                    f"line {number} of {file.name} is not simplified: its strokes have times",
                    place=file,
                    way_out=_WAY_OUT,
                )
            yield record
            if number >= enough and first in file.name:
                return
