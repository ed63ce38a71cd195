"""FER+: faces of FER2013 whose expressions ten people have named (Barsoum, Zhang, Canton, Zhang 2016)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.roots import Folder, folder_with, folders, text_of

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
VOTES = "fer2013new.csv"
PIXELS = ("fer2013.csv", "icml_face_data.csv")
"""Both are FER2013 itself, in one order; the second has spaces in the names of its columns."""
COMMIT = "ae2128abf776409c93e50cf7c9d87180673314e6"
SIDE = 48
PUBLISHED: Published = {"Training": (8, 25060), "PublicTest": (8, 3199), "PrivateTest": (8, 3153)}

SIDES: dict[str, Literal["train", "validation", "test"]] = {
    "Training": "train",
    "PublicTest": "validation",
    "PrivateTest": "test",
}


class Face(NamedTuple):
    """A row of the list of votes."""

    row: int
    """From 0, the same in FER2013."""
    usage: str
    """Training, PublicTest or PrivateTest."""
    expression: str

    @property
    def path(self) -> str:
        """By the row: the list gives four file names to two rows each, and skips numbers."""
        return f"{self.usage}/{self.row:05}"


class FerPlus:
    """31,412 grey faces of 48 x 48 pixels in eight expressions, as most of ten people named them.

    The root holds `fer2013new.csv` of FER+ and FER2013 itself, `fer2013.csv` or `icml_face_data.csv`. Sides
    are the authors' split, the column `usage`: it divides pictures, not expressions, and nobody knows who is
    on them, so that each is its own group. `majority` says which faces stay.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url=f"https://raw.githubusercontent.com/microsoft/FERPlus/{COMMIT}/{VOTES}",
            filename=VOTES,
            sha256="9206e20d62f56475939f516847d61753e4860caeac9718b560129541b776fc2c",
            size=1_602_762,
        ),
        Download(
            url="",
            filename="fer2013.csv",
            md5="f8428a1edbd21e88f42c73edd2a14f95",
            steps="log in at Kaggle and join the challenge on facial expression recognition of 2013",
        ),
    )

    def __init__(self) -> None:
        self._pixels: dict[str, bytes] = {}

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a list is missing, or they do not go together."""
        votes = folder_with(root, VOTES, way_out=_WAY_OUT)
        faces = labelled(text_of(votes, VOTES, way_out=_WAY_OUT))
        self._pixels = _pixels(root, faces)
        return [
            Item(
                path=face.path,
                label=face.expression,
                group=face.path,
                part=SIDES[face.usage],
                columns={"usage": face.usage},
            )
            for face in sorted(faces, key=lambda face: face.path)
        ]

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        compare(items, PUBLISHED, part=lambda item: item.columns["usage"], way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The face's 48 x 48 bytes, row by row."""
        pixels = self._pixels.get(item.path, b"")
        if len(pixels) != SIDE**2:
            raise ValueError(f"{len(pixels)} pixels, not {SIDE} x {SIDE}")
        return pixels

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode L."""
        face = Image.frombytes("L", (SIDE, SIDE), self.source(item))
        return face.resize((size, size), Image.Resampling.LANCZOS)


_WAY_OUT = (
    "get fer2013new.csv (microsoft/FERPlus), and fer2013.csv or icml_face_data.csv (Kaggle, with a login); "
    "then dmlbench data prepare TASK --from their folder"
)


def majority(votes: Sequence[int]) -> str | None:
    """The expression that the votes agree on, or None; `votes` are for `EXPRESSIONS`, unknown, and no face.

    Single votes are dropped. The winner needs more than half of the rest, and must be an expression.

    >>> majority([4, 0, 0, 1, 3, 1, 0, 0, 0, 0])
    'neutral'
    >>> majority([4, 0, 0, 1, 4, 1, 0, 0, 0, 0]), majority([1, 0, 0, 0, 0, 0, 0, 0, 9, 0])
    (None, None)
    """
    counted = [count if count > 1 else 0 for count in votes]
    winner = max(range(len(counted)), key=counted.__getitem__)
    if 2 * counted[winner] <= sum(counted) or winner >= len(EXPRESSIONS):
        return None
    return EXPRESSIONS[winner]


def labelled(text: str) -> list[Face]:
    """The faces of `fer2013new.csv` that stay: those with a file name, and an expression by majority."""
    rows = csv.reader(io.StringIO(text))
    wanted = ["Usage", "Image name", *EXPRESSIONS, "unknown", "NF"]
    if (header := next(rows, [])) != wanted:
        raise DataError(f"{VOTES} begins with {','.join(header)!r}", way_out=_WAY_OUT)
    found = []
    for row, fields in enumerate(rows):
        usage, name, *votes = fields
        if len(votes) != len(wanted) - 2 or not all(vote.isdigit() for vote in votes):
            raise DataError(f"line {row + 2} of {VOTES} has no ten counts: {','.join(fields)!r}")
        if name and (expression := majority([int(vote) for vote in votes])):
            found.append(Face(row, usage, expression))
    return found


def _pixels(root: Path | None, faces: list[Face]) -> dict[str, bytes]:
    """By path, the pixels of the faces, from either form of FER2013; of a damaged row nothing."""
    file = _fer2013(root)
    wanted = {face.row: face for face in faces}
    found: dict[str, bytes] = {}
    with file.open(encoding="utf-8", newline="") as text:
        rows = csv.reader(text)
        columns = [name.strip() for name in next(rows, [])]
        if not {"pixels", "Usage"} <= set(columns):
            raise DataError(f"{file.name} has no columns pixels and Usage", place=root, way_out=_WAY_OUT)
        for number, fields in enumerate(rows):
            row = dict(zip(columns, fields, strict=False))
            if (face := wanted.get(number)) is None:
                continue
            if row["Usage"].strip() != face.usage:
                raise DataError(
                    f"row {number} is {row['Usage']} in {file.name} and {face.usage} in {VOTES}",
                    place=root,
                    way_out="FER2013 as it was published has the order of FER+",
                )
            found[face.path] = _bytes(row["pixels"])
    return found


def _bytes(pixels: str) -> bytes:
    try:
        return bytes(map(int, pixels.split()))
    except ValueError:
        return b""


def _fer2013(root: Path | None) -> Folder:
    """The first form of FER2013 that is there."""
    for folder in folders(root, way_out=_WAY_OUT):
        for name in PIXELS:
            if (folder / name).is_file():
                return folder / name
    raise DataError(f"there is neither {' nor '.join(PIXELS)} here", place=root, way_out=_WAY_OUT)
