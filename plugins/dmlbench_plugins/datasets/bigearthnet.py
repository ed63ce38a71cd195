"""BigEarthNet-S2 v1: what Sentinel-2 saw, and the land cover (Sumbul, Charfuelan, Demir, Markl 2019)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dmlbench.api import DataError, Download, Item

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""In order of wavelength. B01 and B09, of 60 m a pixel, tell of the air and not of the land: left out."""
PATCHES = 590_326
FULL = 10_000
"""The number that stands for a reflectance of 1."""

#: The nomenclature of 19 labels (Sumbul, Kang, Kreuziger, Marcelino, Costa, Benevides, Caetano, Demir 2020):
#: each with the labels of CORINE level 3 that it takes in.
MERGED = {
    "Urban fabric": ("Continuous urban fabric", "Discontinuous urban fabric"),
    "Industrial or commercial units": ("Industrial or commercial units",),
    "Arable land": ("Non-irrigated arable land", "Permanently irrigated land", "Rice fields"),
    "Permanent crops": (
        "Vineyards",
        "Fruit trees and berry plantations",
        "Olive groves",
        "Annual crops associated with permanent crops",
    ),
    "Pastures": ("Pastures",),
    "Complex cultivation patterns": ("Complex cultivation patterns",),
    "Land principally occupied by agriculture, with significant areas of natural vegetation": (
        "Land principally occupied by agriculture, with significant areas of natural vegetation",
    ),
    "Agro-forestry areas": ("Agro-forestry areas",),
    "Broad-leaved forest": ("Broad-leaved forest",),
    "Coniferous forest": ("Coniferous forest",),
    "Mixed forest": ("Mixed forest",),
    "Natural grassland and sparsely vegetated areas": ("Natural grassland", "Sparsely vegetated areas"),
    "Moors, heathland and sclerophyllous vegetation": ("Moors and heathland", "Sclerophyllous vegetation"),
    "Transitional woodland, shrub": ("Transitional woodland/shrub",),
    "Beaches, dunes, sands": ("Beaches, dunes, sands",),
    "Inland wetlands": ("Inland marshes", "Peatbogs"),
    "Coastal wetlands": ("Salt marshes", "Salines"),
    "Inland waters": ("Water courses", "Water bodies"),
    "Marine waters": ("Coastal lagoons", "Estuaries", "Sea and ocean"),
}
DROPPED = (
    "Road and rail networks and associated land",
    "Port areas",
    "Airports",
    "Mineral extraction sites",
    "Dump sites",
    "Construction sites",
    "Green urban areas",
    "Sport and leisure facilities",
    "Bare rock",
    "Burnt areas",
    "Intertidal flats",
)
"""Of the 43 labels those that the 19 do without."""
_IN_19 = {old: new for new, olds in MERGED.items() for old in olds}


class BigEarthNet:
    """590,326 patches of 1.2 km x 1.2 km in ten bands, with 19 or 43 labels; a track has 10 channels.

    The root is the unpacked folder `BigEarthNet-v1.0`, or the one around it. The class is the tile of the
    satellite's grid that a patch was cut from, which is no label; a group is a place in it, however often it
    was photographed. With 19 labels, patches that keep none are left out. Snowy and cloudy patches are in.

    A band is resized from its own grid (10 m or 20 m) to the size asked for, bicubically, and its reflectance
    r becomes round(255 sqrt(r)), r held in [0, 1]: land is dark, and the root spends the bytes there.
    """

    needs_root = True
    downloads: tuple[Download, ...] = ()

    def __init__(self, *, nomenclature: Literal[19, 43] = 19) -> None:
        self.nomenclature = nomenclature
        self._folder = Path()
        self._patches = 0

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` for a patch whose file of labels is missing or damaged."""
        self._folder, patches = _patches_in(root)
        self._patches = len(patches)
        items = (self._item(patch) for patch in patches)
        return [item for item in items if item.labels]

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless all patches are there, those without a label among the 19 too."""
        if self._patches != PATCHES:
            raise DataError(
                f"{self._patches:,} patches, published are {PATCHES:,}",
                place=self._folder,
                way_out=f"{_WAY_OUT}; --allow-partial takes a part of the set",
            )

    def source(self, item: Item) -> bytes:
        """The ten GeoTIFF files, one after another."""
        return b"".join(self._file(item, band).read_bytes() for band in BANDS)

    def picture(self, item: Item, size: int) -> UInt8[np.ndarray, "size size 10"]:
        """The bands, as described above."""
        bands = [_band(self._file(item, band), size) for band in BANDS]
        share = np.stack(bands, axis=2).clip(0, FULL) / FULL
        return np.rint(255 * np.sqrt(share)).astype(np.uint8)

    def _item(self, patch: str) -> Item:
        file = self._folder / patch / f"{patch}_labels_metadata.json"
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
            tile = re.search(r"_T(\d{2}[A-Z]{3})_", known["tile_source"])
            place = re.search(r"_(\d+_\d+)$", patch)
            if tile is None or place is None:
                raise ValueError(f"no tile in {known['tile_source']!r}, or no place in {patch!r}")
            labels = self._labels(known["labels"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"cannot make out {file.name}: {error}", place=file, way_out=_WAY_OUT) from error
        return Item(patch, label=tile[1], group=f"{tile[1]}/{place[1]}", labels=labels)

    def _labels(self, given: list[str]) -> tuple[str, ...]:
        if unknown := [name for name in given if name not in _IN_19 and name not in DROPPED]:
            raise ValueError(f"{unknown[0]!r} is none of the 43 labels")
        if self.nomenclature == 43:
            return tuple(sorted(set(given)))
        return tuple(sorted({_IN_19[name] for name in given if name in _IN_19}))

    def _file(self, item: Item, band: str) -> Path:
        return self._folder / item.path / f"{item.path}_{band}.tif"


_WAY_OUT = "unpack BigEarthNet-S2-v1.0.tar.gz, then dmlbench data prepare TASK --from its folder"


def _patches_in(root: Path | None) -> tuple[Path, list[str]]:
    """The folder of the patches, and their names in order."""
    for folder in (root, root / "BigEarthNet-v1.0") if root is not None else ():
        inside = folder.iterdir() if folder.is_dir() else ()
        names = sorted(path.name for path in inside if path.is_dir() and not path.name.startswith("."))
        if names and (folder / names[0] / f"{names[0]}_labels_metadata.json").is_file():
            return folder, names
    raise DataError("there are no patches of BigEarthNet here", place=root, way_out=_WAY_OUT)


def _band(file: Path, size: int) -> np.ndarray:
    """A band of 16-bit numbers, `size` x `size`, as float32."""
    with Image.open(file) as band:
        if not band.mode.startswith("I;16"):
            raise ValueError(f"{file.name} has mode {band.mode}, not 16 bits")
        numbers = Image.fromarray(np.asarray(band).astype(np.float32))
    return np.asarray(
        numbers if numbers.size == (size, size) else numbers.resize((size, size), Image.Resampling.BICUBIC)
    )
