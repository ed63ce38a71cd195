"""AffectNet: faces from the web, annotated by hand in eight expressions (Mollahosseini et al. 2017)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import compare
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, folders

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""Of the codes 0 to 7. From 8 on: none, uncertain, no face."""
TRAINING = 287_651
LISTS = {"training.csv": "train", "validation.csv": "test"}
"""The first form: lists, and pictures below one folder."""
SETS = {"train_set": "train", "val_set": "test"}
"""The second form: a folder a side, with `images/NUMBER.jpg` and `annotations/NUMBER_exp.npy`."""
IMAGES = "Manually_Annotated_Images"
_BOX = ("face_x", "face_y", "face_width", "face_height")

Box = tuple[int, int, int, int]


class AffectNet:
    """287,651 training faces and 4,000 of the authors' validation set (3,999 in the second form).

    The root holds `training.csv`, `validation.csv` and `Manually_Annotated_Images`, or `train_set` and
    `val_set`. The authors' validation faces test: labels of their test set are not public. Nobody knows who
    is on a picture: each is its own group. Faces of the first form are cut out by the lists' boxes.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="",
            filename="AffectNet.zip",
            terms="an agreement signed by the head of a laboratory; no redistribution",
            steps="sign the agreement with the authors",
        ),
    )

    def __init__(self) -> None:
        self._folder: Folder = Path()
        self._boxes: dict[str, Box] = {}

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when neither form is here, or a list is another one."""
        for folder in folders(root, way_out=_WAY_OUT):
            self._folder, self._boxes = folder, {}
            if all((folder / name).is_file() for name in LISTS):
                found = [item for name, part in LISTS.items() for item in self._listed(name, part)]
            elif all((folder / name / "annotations").exists() for name in SETS):
                found = [item for name, part in SETS.items() for item in self._set(name, part)]
            else:
                continue
            return sorted(found, key=lambda item: item.path)
        raise DataError(
            f"there is neither {' with '.join(LISTS)} nor {' with '.join(SETS)} here",
            place=root,
            way_out=_WAY_OUT,
        )

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless the items are as many as published."""
        tests = 4000 if self._boxes else 3999
        compare(items, {"train": (8, TRAINING), "test": (8, tests)}, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The picture file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB: the face's box, or the central square."""
        content = self.source(item)
        box = self._boxes.get(item.path)
        if box is None:
            return square(content, size)
        x, y, width, height = box
        with Image.open(io.BytesIO(content)) as file:
            face = file.convert("RGB").crop((x, y, x + width, y + height))
        return face.resize((size, size), Image.Resampling.LANCZOS)

    def _listed(self, name: str, part: Literal["train", "test"]) -> Iterator[Item]:
        text = (self._folder / name).read_text(encoding="utf-8")
        rows = csv.DictReader(io.StringIO(text))
        wanted = {"subDirectory_filePath", "expression", *_BOX}
        if lacking := sorted(wanted - {*(rows.fieldnames or ())}):
            raise DataError(f"{name} has no column {lacking[0]}", way_out=_WAY_OUT)
        for line, row in enumerate(rows, start=2):
            try:
                code, x, y, width, height = (int(float(row[key])) for key in ("expression", *_BOX))
            except (TypeError, ValueError) as error:
                raise DataError(f"line {line} of {name} is damaged", way_out=_WAY_OUT) from error
            if code < len(EXPRESSIONS):
                path = f"{IMAGES}/{row['subDirectory_filePath']}"
                self._boxes[path] = (x, y, width, height)
                yield Item(path=path, label=EXPRESSIONS[code], group=path, part=part)

    def _set(self, name: str, part: Literal["train", "test"]) -> Iterator[Item]:
        for file in (self._folder / name / "annotations").iterdir():
            if file.name.endswith("_exp.npy"):
                code = int(np.load(io.BytesIO(file.read_bytes()), allow_pickle=False))
                if 0 <= code < len(EXPRESSIONS):
                    path = f"{name}/images/{file.name.removesuffix('_exp.npy')}.jpg"
                    yield Item(path=path, label=EXPRESSIONS[code], group=path, part=part)


_WAY_OUT = (
    "dmlbench data prepare affectnet --from the folder or zip file with training.csv, validation.csv and "
    f"{IMAGES}, or with train_set and val_set"
)
