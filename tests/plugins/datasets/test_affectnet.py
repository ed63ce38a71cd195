"""Both layouts as documented, in miniature: nobody has run the reader on the real files here."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import affectnet as module
from dmlbench_plugins.datasets.affectnet import EXPRESSIONS, IMAGES, AffectNet
from PIL import Image

from dmlbench.api import DataError
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def array(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


@pytest.fixture
def lists(tmp_path, photo, written, monkeypatch) -> Path:
    """The first form: eleven codes, of which eight are expressions; the face is a quarter of each picture."""
    monkeypatch.setattr(module, "TRAINING", 40)
    picture = photo(0, (32, 32), "PNG")
    files: dict[str, str | bytes] = {}
    for name, times in (("training", 5), ("validation", 1)):
        rows = [(f"{n}/{name}{n}.png", n % 11) for n in range(11 * times)]
        lines = [f"{path},16,0,16,16,1;2,{code},-2,-2" for path, code in rows]
        files[f"{name}.csv"] = "\n".join([HEADER, *lines]) + "\n"
        files |= {f"{IMAGES}/{path}": picture for path, _ in rows}
    return written(tmp_path / "affectnet", files)


@pytest.fixture
def sets(tmp_path, photo, written) -> Path:
    """The second form, with codes as numbers and as text."""
    files: dict[str, str | bytes] = {}
    for name in ("train_set", "val_set"):
        for n in range(9):
            files[f"{name}/images/{n}.jpg"] = photo(n, (32, 32))
            files[f"{name}/annotations/{n}_exp.npy"] = array(str(n) if n % 2 else n)
            files[f"{name}/annotations/{n}_val.npy"] = array(0.5)
    return written(tmp_path / "packs", files)


def test_eight_of_eleven_codes_are_expressions_and_the_validation_list_tests(lists):
    items = AffectNet().items(lists)
    assert {item.label for item in items} == set(EXPRESSIONS)
    assert {part: sum(item.part == part for item in items) for part in ("train", "test")} == {
        "train": 40,
        "test": 8,
    }
    assert [item.label for item in items if item.path == f"{IMAGES}/6/training6.png"] == ["anger"]
    assert all(item.group == item.path for item in items)


def test_the_face_is_cut_out_by_its_box(lists):
    faces = AffectNet()
    item = faces.items(lists)[0]
    with Image.open(lists / item.path) as whole:
        assert np.array_equal(np.asarray(faces.picture(item, 16)), np.asarray(whole.convert("RGB"))[:16, 16:])


def test_the_second_form_says_the_same_in_other_files(sets):
    faces = AffectNet()
    items = faces.items(sets)
    assert len(items) == 16
    assert [(item.label, item.part) for item in items if item.path.endswith("3.jpg")] == [
        ("surprise", "train"),
        ("surprise", "test"),
    ]
    assert faces.picture(items[0], 16).size == (16, 16)
    with pytest.raises(DataError, match=r"test has 8 pictures of 8 classes, published are 3,999"):
        faces.check_counts(items)


def test_counts_are_held_against_the_published_ones(lists):
    faces = AffectNet()
    with pytest.raises(DataError, match=r"test has 8 pictures of 8 classes, published are 4,000"):
        faces.check_counts(faces.items(lists))


def test_some_training_faces_validate(lists):
    sides = split_items(AffectNet().items(lists), load_task("affectnet").split)
    assert {side: len(items) for side, items in sides.items()} == {"train": 38, "validation": 2, "test": 8}


def test_damaged_lists_are_named(lists):
    (lists / "training.csv").write_text(f"{HEADER}\n1/a.png,1,1,x,1,,3,0,0\n")
    with pytest.raises(DataError, match=r"line 2 of training\.csv is damaged"):
        AffectNet().items(lists)
    (lists / "training.csv").write_text("subDirectory_filePath,expression\n")
    with pytest.raises(DataError, match=r"training\.csv has no column face_height"):
        AffectNet().items(lists)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"neither training\.csv with validation\.csv nor train_set with val_set"
    ):
        AffectNet().items(tmp_path)
