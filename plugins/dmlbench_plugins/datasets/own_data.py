"""What the readers of one's own data share: names of sides, near misses, squares from any picture."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from dmlbench.api import DataError
from dmlbench_plugins.datasets.photos import shorter_side_of

Side = Literal["train", "validation", "test"]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the picture as it is shown."""

SIDES: dict[str, Side] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call the sides, in lower case."""


def check_names(found: Iterable[str], known: Iterable[str], place: object) -> None:
    """`DataError` for a name that is almost a known one: what it holds would go unused without a word."""
    known = list(known)
    for name in found:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75)
        if near and name not in known:
            raise DataError(f"{name!r} is nothing that is read", place=place, near=near[0])


def stamp_of(file: Path) -> str:
    """What changes when the file is written: its size and times."""
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def content_of(file: Path) -> bytes:
    """The file's bytes. `DataError` when there are none."""
    content = file.read_bytes()
    if not content:
        raise DataError("the file is empty", place=file)
    return content


def square(content: bytes, size: int, box: Box | None = None) -> Image.Image:
    """The central square of a picture file; with a box all of that, white beside or above and below it.

    Upright, on white, mode L or RGB. `ValueError` for a box that leaves the picture, and for numbers that are
    no grey levels.
    """
    picture = _shown(content, size, box)
    if box is None:
        return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    white = 255 if picture.mode == "L" else (255, 255, 255)
    return ImageOps.pad(picture, (size, size), Image.Resampling.LANCZOS, color=white)


def whole(content: bytes, size: int, box: Box | None = None) -> Image.Image:
    """All of a picture file, or of what is in the box, with a shorter side of `size`; as `square` else."""
    return shorter_side_of(_shown(content, size, box), size)


def _shown(content: bytes, size: int, box: Box | None) -> Image.Image:
    with Image.open(io.BytesIO(content)) as file:
        if box is None:
            file.draft(None, (2 * size, 2 * size))  # a JPEG of many pixels is reduced as it is decoded
        picture = on_white(ImageOps.exif_transpose(file))
    if box is None:
        return picture
    if box[2] > picture.width or box[3] > picture.height:
        raise ValueError(
            f"the box ends at {box[2:]}, the picture has {picture.width} x {picture.height} pixels"
        )
    return picture.crop(box)


def on_white(picture: Image.Image) -> Image.Image:
    """Mode L or RGB; what shows through is white, and of 16 bits the upper 8 are kept."""
    if picture.mode.startswith("I;16"):
        return picture.point(lambda level: level / 256).convert("L")
    if picture.mode in ("I", "F"):
        raise ValueError(f"numbers of mode {picture.mode} are no grey levels")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", layer.size, "white")
        picture.alpha_composite(layer)
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def shorter_side(content: bytes) -> int:
    """In pixels."""
    with Image.open(io.BytesIO(content)) as file:
        return min(file.size)
