from __future__ import annotations

from pathlib import Path

import pytest
from dmlbench_plugins.datasets import lfw as module
from dmlbench_plugins.datasets.lfw import LabeledFaces, Pair, read_pairs

from dmlbench.api import DataError

PEOPLE = {"Ada_Byron": 3, "Bo": 1, "Cy_de_la_Cruz": 1}
PAIRS = "2\t1\nAda_Byron\t1\t3\nAda_Byron\t2\tBo\t1\nAda_Byron\t2\t3\nBo\t1\tCy_de_la_Cruz\t1\n"


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    monkeypatch.setattr(module, "PUBLISHED", {"": (3, 5)})
    names = [f"{name}/{name}_{n:04}.jpg" for name, count in PEOPLE.items() for n in range(1, count + 1)]
    photos = {f"lfw_funneled/{name}": photo(n, (25, 25)) for n, name in enumerate(names)}
    return written(tmp_path / "data", {**photos, "pairs.txt": PAIRS, "lfw_funneled/pairs_01.txt": ""})


def test_a_folder_is_a_person(root):
    faces = LabeledFaces()
    items = faces.items(root)
    faces.check_counts(items)
    assert [(item.path, item.label) for item in items] == [
        ("Ada_Byron/Ada_Byron_0001.jpg", "Ada_Byron"),
        ("Ada_Byron/Ada_Byron_0002.jpg", "Ada_Byron"),
        ("Ada_Byron/Ada_Byron_0003.jpg", "Ada_Byron"),
        ("Bo/Bo_0001.jpg", "Bo"),
        ("Cy_de_la_Cruz/Cy_de_la_Cruz_0001.jpg", "Cy_de_la_Cruz"),
    ]
    assert faces.picture(items[0], 25).size == (25, 25)


def test_folder_outer_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root, tmp_path / "zip" / "lfw.zip")
    places = (root / "lfw_funneled", root, archive, archive.parent)
    readers = [(LabeledFaces(), place) for place in places]
    first, *others = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 5
    assert others == [first] * 3


def test_two_alignments_side_by_side_are_not_mixed(root, written):
    written(root, {"lfw/Bo/Bo_0001.jpg": b""})
    with pytest.raises(DataError, match="several sets of faces: lfw, lfw_funneled"):
        LabeledFaces().items(root)


def test_no_faces_and_other_counts_are_named(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folders NAME"):
        LabeledFaces().items(tmp_path / "empty")
    (root / "lfw_funneled" / "Bo" / "Bo_0001.jpg").unlink()
    faces = LabeledFaces()
    items = faces.items(root)
    with pytest.raises(
        DataError, match="data set has 4 pictures of 2 classes, published are 5 pictures of 3"
    ):
        faces.check_counts(items)


def test_pairs_are_the_paths_of_items_and_come_in_folds(root):
    paths = {item.path for item in LabeledFaces().items(root)}
    pairs = read_pairs((root / "pairs.txt").read_text())
    assert pairs[0] == Pair(0, "Ada_Byron/Ada_Byron_0001.jpg", "Ada_Byron/Ada_Byron_0003.jpg", True)
    assert pairs[3] == Pair(1, "Bo/Bo_0001.jpg", "Cy_de_la_Cruz/Cy_de_la_Cruz_0001.jpg", False)
    assert [(pair.fold, pair.same) for pair in pairs] == [(0, True), (0, False), (1, True), (1, False)]
    assert {path for pair in pairs for path in (pair.first, pair.second)} <= paths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line is '', not"),
        ("10 folds\n", "the first line is '10 folds'"),
        (PAIRS + "Bo\t1\tBo\t1\n", "2 folds of 2 x 1 pairs are announced, 5 lines follow"),
        (PAIRS.replace("1\t3", "1\t3\tx"), r"line 2 is no pair of one person"),
        (PAIRS.replace("Bo\t1\tCy_de_la_Cruz\t1", "Bo\t1\t1"), r"line 5 is no pair of two"),
        (PAIRS.replace("1\t3", "1\tthree"), r"line 2 is no pair of one person"),
    ],
)
def test_what_is_wrong_with_the_pairs_is_named(text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(text)
