"""Arrays in an .npz file."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image, ImageOps

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.own_data import SIDES, check_names, stamp_of

KNOWN = ("images", "labels", "split")


class NpzArrays:
    """`images`, uint8 [n, height, width] or [n, height, width, channel], and `labels`, n whole numbers or
    names; optionally `split`, n times train, validation or test. The central square is seen.

    One channel is grey, three are colours; with any other number they are bands, and the track has as many.
    """

    needs_root = True
    reads_zip = True
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._images = np.zeros((0, 1, 1), np.uint8)
        self._stamp = ""

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """Items in the arrays' order. `DataError` for arrays that are missing or not what they must be."""
        if root is None or not root.is_file():
            raise DataError("not a file", place=root, way_out="npz:PATH, arrays `images` and `labels`")
        arrays = _read(root)
        images, labels = arrays["images"], arrays["labels"]
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
            raise DataError(
                f"`images` is {images.dtype} {list(images.shape)}, not uint8 [n, height, width, channel]",
                place=root,
            )
        if labels.dtype.kind not in "iuU" or labels.shape != images.shape[:1]:
            raise DataError(
                f"`labels` is {labels.dtype} {list(labels.shape)}, not {len(images)} whole numbers or names",
                place=root,
            )
        sides = _sides(arrays.get("split"), len(images), root)
        self._images, self._stamp = images, stamp_of(root)
        digits = len(str(len(images) - 1))
        return [
            Item(
                path=f"{number:0{digits}}",
                label=str(label),
                group=str(label),
                part=side,
                place=f"{root}, image {number}",
            )
            for number, (label, side) in enumerate(zip(labels.tolist(), sides, strict=True))
        ]

    def source(self, item: Item) -> bytes:
        """Shape and pixels."""
        image = self._images[int(item.path)]
        return f"{image.shape} ".encode() + image.tobytes()

    def picture(self, item: Item, size: int) -> Image.Image | np.ndarray:
        """The central square: mode L or RGB, or bands, UInt8[size size band]."""
        image = self._images[int(item.path)]
        if image.ndim == 2 or image.shape[2] == 3:
            return _square(image, size)
        bands = [_square(band, size) for band in np.moveaxis(image, 2, 0)]
        return bands[0] if len(bands) == 1 else np.stack([np.asarray(band) for band in bands], axis=2)

    def stamp(self, item: Item) -> str:
        """Changes when the file does."""
        return self._stamp

    def side(self, item: Item) -> int:
        """The shorter side in pixels."""
        return min(self._images.shape[1:3])


def _square(image: np.ndarray, size: int) -> Image.Image:
    return ImageOps.fit(Image.fromarray(np.ascontiguousarray(image)), (size, size), Image.Resampling.LANCZOS)


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with file.open("rb") as content:
            arrays = np.load(content, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise DataError("one array, not an .npz file of plain arrays", place=file)
            check_names(arrays.files, KNOWN, file)
            for name in ("images", "labels"):
                if name not in arrays.files:
                    raise DataError(f"there is no array `{name}`", place=file, way_out=f"{', '.join(KNOWN)}")
            return {name: arrays[name] for name in KNOWN if name in arrays.files}
    except (BadZipFile, ValueError, EOFError) as error:
        raise DataError(f"not an .npz file of plain arrays: {error}", place=file) from error


def _sides(split: np.ndarray | None, count: int, file: Path) -> list[str]:
    if split is None:
        return [""] * count
    if split.dtype.kind != "U" or split.shape != (count,):
        raise DataError(f"`split` is {split.dtype} {list(split.shape)}, not {count} names", place=file)
    for number, name in enumerate(split.tolist()):
        if name.lower() not in SIDES:
            raise DataError(
                f"split {name!r} is not train, validation or test", place=f"{file}, image {number}"
            )
    return [SIDES[name.lower()] for name in split.tolist()]
