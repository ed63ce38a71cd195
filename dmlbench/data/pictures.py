"""Reading a data set's pictures into rows of bytes, and taking their fingerprint on the way."""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from dmlbench.data.items import Dataset, Item
from dmlbench.errors import ContractError, DataError

#: What reading a damaged picture can raise: the disk, the archive, Pillow and its decoders, the plugin.
UNREADABLE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    RuntimeError,  # `zipfile` for what is encrypted or compressed in a way that it does not know
    struct.error,
    zlib.error,
    lzma.LZMAError,
    BadZipFile,
    Image.DecompressionBombError,
    DataError,
)


class UnreadablePicture(DataError):
    """A picture that is there in name only."""


class ReadPicture(NamedTuple):
    """A picture as it is stored."""

    source: str
    """sha256 (hex) of the bytes that it comes from."""
    pixels: bytes
    """height x width x channel; of a whole picture its lines, see `WholePictures`."""
    height: int
    width: int


def read_picture(
    dataset: Dataset, item: Item, size: int, channels: int, *, whole: bool = False
) -> ReadPicture:
    """The item's picture: a square with the side `size`, or all of it with that as its shorter side.

    Raises `UnreadablePicture` for damaged pictures, `ContractError` when the plugin returns another size,
    `DataError` when pictures have bands and not as many as are asked for, or none and these are no colours,
    and when the data set has squares alone.
    """
    draw = getattr(dataset, "whole_picture", None) if whole else dataset.picture
    if draw is None:
        raise DataError(
            "the track stores whole pictures, and this data set gives squares",
            place=f"data set {type(dataset).__name__}",
            way_out='a track with `keep = "square"` in [images.crop], or a data set with `whole_picture`',
        )
    try:
        source = hashlib.sha256(dataset.source(item)).hexdigest()
        picture = draw(item, size)
    except UNREADABLE as error:
        raise unreadable(dataset, item, error) from error
    if isinstance(picture, np.ndarray):
        return ReadPicture(source, _bands(picture, dataset, item, size, channels).tobytes(), size, size)
    if channels not in (1, 3):
        raise DataError(
            f"the track has {channels} channels, and {item.path} is a picture in colours",
            place=item.place or f"data set {type(dataset).__name__}",
            way_out="a track with 3 channels, or 1",
        )
    fits = min(picture.size) == size if whole else picture.size == (size, size)
    if not fits or picture.mode not in ("L", "RGB"):
        wanted = f"a shorter side of {size}" if whole else f"{size} x {size}"
        raise ContractError(
            f"`{draw.__name__}` returned {picture.width} x {picture.height} pixels of mode {picture.mode}; "
            f"asked for {wanted}, mode L or RGB",
            place=f"{type(dataset).__name__}, {item.path}",
        )
    upright = picture.convert("L" if channels == 1 else "RGB")
    stored = upright.transpose(Image.Transpose.TRANSPOSE) if picture.width > picture.height else upright
    return ReadPicture(source, stored.tobytes(), picture.height, picture.width)


def _bands(
    picture: np.ndarray, dataset: Dataset, item: Item, size: int, channels: int
) -> UInt8[np.ndarray, "height width channel"]:
    """The array, if it is as large as asked for and has as many bands."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[:2] != (size, size):
        raise ContractError(
            f"`picture` returned {picture.dtype} of shape {picture.shape}; asked for {size} x {size}: uint8, "
            "height x width x band",
            place=f"{type(dataset).__name__}, {item.path}",
        )
    if picture.shape[2] != channels:
        raise DataError(
            f"the track has {channels} channels, and {item.path} has {picture.shape[2]} bands",
            place=item.place or f"data set {type(dataset).__name__}",
            way_out=f"a track with {picture.shape[2]} channels",
        )
    return picture


def unreadable(dataset: Dataset, item: Item, error: Exception) -> UnreadablePicture:
    """What reading the item raised, in words that name it."""
    problem = error.message if isinstance(error, DataError) else str(error)
    if isinstance(error, UnidentifiedImageError):
        problem = "not a picture"
    return UnreadablePicture(
        f"{item.path} cannot be read: {problem or type(error).__name__}",
        place=item.place or f"data set {type(dataset).__name__}",
        way_out="replace the file and issue the command again; "
        "dmlbench data prepare --allow-partial leaves it out, but runs take complete data",
    )


def fingerprint(sources: Iterable[tuple[Item, str]]) -> str:
    """`sha256:…` over (path, sha256 of the source, class) of every item; their order does not matter.

    Where items have several labels, these are in it too.
    """
    lines = sorted(
        json.dumps([item.path, source, item.label, *([sorted(item.labels)] if item.labels else [])])
        for item, source in sources
    )
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()
