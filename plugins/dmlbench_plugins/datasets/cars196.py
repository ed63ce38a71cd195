"""Cars196, also called Stanford Cars: photos of 196 models (Krause, Stark, Deng, Fei-Fei 2013)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square, whole
from dmlbench_plugins.datasets.roots import Folder, folders, text_of

LAST_TRAINING_CLASS = 98
"""The field trains on the first half of the class numbers and tests on the second."""
PUBLISHED: Published = {"train": (98, 8054), "test": (98, 8131)}
HALVES = {8144: "cars_train", 8041: "cars_test"}
"""Photos of the two parts of the authors' own split; both have photos of all classes."""


class _Photo(NamedTuple):
    path: str
    number: int
    """Of the class, from 1."""
    name: str
    image_split: str
    file: Folder


class Cars196:
    """16,185 photos of 196 models; models 1 to 98 train, the others test, as everywhere in the field.

    The root, or a zip file, holds one of the three layouts that are about:

    - `car_ims/` and `cars_annos.mat`;
    - `cars_train/`, `cars_test/`, and in `devkit/` or beside them `cars_meta.mat`, `cars_train_annos.mat` and
      `cars_test_annos_withlabels.mat`;
    - `train/` and `test/` with a folder a model, and `anno_train.csv`, `anno_test.csv` and `names.csv`.

    The last two follow the authors' split of the images, for classification: here the parts are put together,
    and the column `image_split` keeps which it was. They number the photos alike and `car_ims` otherwise, so
    that has paths, and a fingerprint, of its own.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="",
            filename="car_ims.tgz",
            md5="d5c8f0aa497503f355e17dc7886c3f14",
            steps="find a mirror (the authors' address is gone), or another layout for --from",
            unpack=True,
        ),
        Download(
            url="",
            filename="cars_annos.mat",
            md5="b407c6086d669747186bd1d764ff9dbc",
            steps="find it where car_ims.tgz is",
        ),
    )

    def __init__(self) -> None:
        self._files: dict[str, Folder] = {}

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when a list, or half of the set, is missing."""
        photos = sorted(_photos(root), key=lambda photo: photo.path)
        self._files = {photo.path: photo.file for photo in photos}
        return [
            Item(
                path=photo.path,
                label=(label := f"{photo.number:03}.{photo.name.replace('/', '-')}"),
                group=label,
                part="train" if photo.number <= LAST_TRAINING_CLASS else "test",
                columns={"image_split": photo.image_split},
            )
            for photo in photos
        ]

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        mistaken = {count: f"{half} alone, about half of each class" for count, half in HALVES.items()}
        compare(items, PUBLISHED, mistaken=mistaken, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG file."""
        return self._files[item.path].read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square."""
        return square(self.source(item), size)

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, with a shorter side of `size`."""
        return whole(self.source(item), size)


_WAY_OUT = (
    "get car_ims with cars_annos.mat, or cars_train, cars_test and devkit, or the folders by class with "
    "their CSV files; then dmlbench data prepare TASK --from that folder"
)


def _photos(root: Path | None) -> list[_Photo]:
    """All photos, from the first layout that is there. `DataError` for half of one."""
    for folder in folders(root, way_out=_WAY_OUT):
        has = {name for name in ("car_ims", "cars_train", "cars_test") if (folder / name).exists()}
        try:
            if "car_ims" in has and (folder / "cars_annos.mat").exists():
                return list(_in_one_folder(folder))
            if {"cars_train", "cars_test"} <= has:
                return [*_from_devkit(folder, "train"), *_from_devkit(folder, "test")]
            if (folder / "anno_train.csv").exists():
                return [*_by_class_folder(folder, "train"), *_by_class_folder(folder, "test")]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(
                f"the lists of Cars196 are not as published: {error}", place=folder, way_out=_WAY_OUT
            ) from error
        if has:
            problem = f"{' and '.join(sorted(has))} alone is not the whole of Cars196"
            raise DataError(problem, place=folder, way_out=_WAY_OUT)
    raise DataError("there is none of the layouts of Cars196 here", place=root, way_out=_WAY_OUT)


def _in_one_folder(folder: Folder) -> Iterator[_Photo]:
    content = _mat(folder / "cars_annos.mat")
    inner = _inner(folder, "car_ims")
    for row in content["annotations"]:
        path, number = str(row["relative_im_path"]), int(row["class"])
        name = _name(content["class_names"], number)
        file = inner / path.rpartition("/")[2]
        yield _Photo(path, number, name, "test" if row["test"] else "train", file)


def _from_devkit(folder: Folder, half: str) -> Iterator[_Photo]:
    names = _mat(_devkit(folder, "cars_meta.mat"))["class_names"]
    lists = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    inner = _inner(folder, f"cars_{half}")
    for row in _mat(_devkit(folder, lists[half]))["annotations"]:
        file, number = str(row["fname"]), int(row["class"])
        yield _Photo(f"cars_{half}/{file}", number, _name(names, number), half, inner / file)


def _inner(folder: Folder, name: str) -> Folder:
    """`name/`, or `name/name/`: archives are often unpacked to a folder called after them."""
    return folder / name / name if (folder / name / name).exists() else folder / name


def _devkit(folder: Folder, name: str) -> Folder:
    for place in (folder / "devkit", folder / "car_devkit" / "devkit", folder):
        if (place / name).exists():
            return place / name
    unlabelled = "; cars_test_annos.mat says no classes" if "withlabels" in name else ""
    raise DataError(f"there is no {name}{unlabelled}", place=folder, way_out=_WAY_OUT)


def _by_class_folder(folder: Folder, half: str) -> Iterator[_Photo]:
    """Lines `file,x1,y1,x2,y2,class`; folders have hyphens where names have slashes."""
    inner = next((p for p in (folder / "car_data" / "car_data", folder / "car_data") if p.exists()), folder)
    if not (inner / half).exists():
        raise DataError(f"there is no folder {half}: half of each class", place=inner, way_out=_WAY_OUT)
    names = [name for (name,) in _rows(folder, "names.csv")]
    for file, *_, number in _rows(folder, f"anno_{half}.csv"):
        name = _name(names, int(number))
        place = inner / half / name.replace("/", "-") / file
        yield _Photo(f"cars_{half}/{file}", int(number), name, half, place)


def _rows(folder: Folder, name: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text_of(folder, name, way_out=_WAY_OUT)))


def _name(names: Sequence[Any], number: int) -> str:
    if not 1 <= number <= len(names):
        raise ValueError(f"class {number}, where {len(names)} have names")
    return str(names[number - 1])


def _mat(file: Folder) -> dict[str, Any]:
    """What a MATLAB file holds: records and names, one axis each."""
    import numpy as np
    from scipy.io import loadmat

    content = loadmat(io.BytesIO(file.read_bytes()), squeeze_me=True)
    return {name: np.atleast_1d(value) for name, value in content.items()}
