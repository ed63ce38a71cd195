from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets.grocery import GroceryStore
from dmlbench_plugins.datasets.grocery_tags import GroceryTags
from PIL import Image

from dmlbench.api import DataError, Item
from dmlbench.data.pictures import fingerprint, read_picture
from dmlbench.data.split import SIDES, split_items
from dmlbench.protocols import load_task

TASK = load_task("grocery-tags")
HEADER = "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int)"


@pytest.fixture
def folder(tmp_path) -> Path:
    """The authors' layout: 23 photos of one kind of apple, 4 of leek, numbered."""
    lines = []
    for number, (fine, coarse, photos) in enumerate((("Pink-Lady", "Apple", 23), ("Leek", "Leek", 4))):
        for i in range(1, photos + 1):
            path = f"train/{coarse}/{fine}_{i:03}.jpg"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            colour = np.full((96, 96, 3), 5 * i, dtype=np.uint8)
            file = io.BytesIO()
            Image.fromarray(colour).save(file, "JPEG")
            (tmp_path / path).write_bytes(file.getvalue())
            lines.append(f"{path}, {number}, {number}\n")
    (tmp_path / "train.txt").write_text("".join(lines))
    (tmp_path / "val.txt").write_text("")
    (tmp_path / "test.txt").write_text("")
    (tmp_path / "classes.csv").write_text(f"{HEADER}\nPink-Lady,0,Apple,0\nLeek,1,Leek,1\n")
    return tmp_path


def test_a_photo_has_its_fine_and_its_coarse_class_as_two_labels(folder):
    items = GroceryTags().items(folder)
    assert {(item.label, item.labels) for item in items} == {
        ("Pink-Lady", ("Pink-Lady", "coarse/Apple")),
        ("Leek", ("Leek", "coarse/Leek")),
    }


def test_ten_photos_that_follow_each_other_stay_together(folder):
    groups: dict[str, set[int]] = {}
    for item in GroceryTags().items(folder):
        groups.setdefault(item.group, set()).add(int(item.path[-7:-4]))
    assert groups == {
        "train/Pink-Lady/0": set(range(1, 11)),
        "train/Pink-Lady/1": set(range(11, 21)),
        "train/Pink-Lady/2": {21, 22, 23},
        "train/Leek/0": {1, 2, 3, 4},
    }


def test_sources_and_pictures_are_those_of_grocery(folder):
    tags, plain = GroceryTags(), GroceryStore()
    for one, other in zip(tags.items(folder), plain.items(folder), strict=True):
        assert (one.path, one.label) == (other.path, other.label)
        assert read_picture(tags, one, 32, 3) == read_picture(plain, other, 32, 3)
    assert (tags.downloads, tags.versions()) == (plain.downloads, plain.versions())


def test_a_photo_without_a_number_is_named(folder):
    (folder / "train" / "Leek" / "Leek_001.jpg").rename(folder / "train" / "Leek" / "Leek.jpg")
    lines = (folder / "train.txt").read_text().replace("Leek_001.jpg", "Leek.jpg")
    (folder / "train.txt").write_text(lines)
    with pytest.raises(DataError, match=r"train/Leek/Leek\.jpg does not end in the number"):
        GroceryTags().items(folder)


@pytest.fixture(scope="module")
def official() -> tuple[GroceryTags, list[Item]]:
    given = os.environ.get("DMLBENCH_TEST_DATA")
    file = Path(given or "") / "grocery_store" / "GroceryStoreDataset-96px.zip"
    if not (given and file.is_file()):
        pytest.skip(
            "DMLBENCH_TEST_DATA does not name a folder with grocery_store/GroceryStoreDataset-96px.zip"
        )
    dataset = GroceryTags()
    return dataset, dataset.items(file)


def test_the_data_set_is_the_one_the_task_names(official):
    dataset, items = official
    sources = [(item, hashlib.sha256(dataset.source(item)).hexdigest()) for item in items]
    assert fingerprint(sources) == TASK.fingerprint
    assert (len(items), len({label for item in items for label in item.labels})) == (5421, 81 + 43)


def test_every_fine_class_is_on_every_side_and_no_burst_is_on_two(official):
    sides = split_items(official[1], TASK.split)
    assert [len(sides[side]) for side in SIDES] == [2749, 993, 1679]
    assert [len({item.label for item in sides[side]}) for side in SIDES] == [81, 81, 81]
    groups = [{item.group for item in sides[side]} for side in SIDES]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 639
    assert min(Counter(item.label for item in sides["test"]).values()) == 10
