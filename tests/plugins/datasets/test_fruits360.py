from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import fruits360 as module
from dmlbench_plugins.datasets.fruits360 import Fruits360

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, fingerprint, read_picture
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task

FILMS = {"Training/Apple/Apple 5": 9, "Training/Cherry/Cherry Wax 2": 6, "Test/Apple/Apple 6": 12}


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    """Films of 6 to 12 frames; the numbers of the frames have one or two digits."""
    monkeypatch.setattr(module, "VARIETIES", {"train": 2, "test": 1})
    files = {
        f"{film}/r_{n}_100.jpg": photo(n, (20, 20)) for film, count in FILMS.items() for n in range(count)
    }
    files["LICENSE"] = b"CC"
    return written(tmp_path / "data" / "fruits-360-3-body-problem", files)


def test_frames_at_equal_distances_are_taken_of_each_variety(root):
    fruits = Fruits360(frames=3)
    items = fruits.items(root)
    fruits.check_counts(items)
    assert [(item.path, item.label, item.part, item.superclass) for item in items] == [
        ("Test/Apple/Apple 6/r_0_100.jpg", "Apple 6", "test", "Apple"),
        ("Test/Apple/Apple 6/r_4_100.jpg", "Apple 6", "test", "Apple"),
        ("Test/Apple/Apple 6/r_8_100.jpg", "Apple 6", "test", "Apple"),
        ("Training/Apple/Apple 5/r_0_100.jpg", "Apple 5", "train", "Apple"),
        ("Training/Apple/Apple 5/r_3_100.jpg", "Apple 5", "train", "Apple"),
        ("Training/Apple/Apple 5/r_6_100.jpg", "Apple 5", "train", "Apple"),
        ("Training/Cherry/Cherry Wax 2/r_0_100.jpg", "Cherry Wax 2", "train", "Cherry"),
        ("Training/Cherry/Cherry Wax 2/r_2_100.jpg", "Cherry Wax 2", "train", "Cherry"),
        ("Training/Cherry/Cherry Wax 2/r_4_100.jpg", "Cherry Wax 2", "train", "Cherry"),
    ]


def test_frames_are_ordered_by_number_not_by_letter(root):
    paths = [item.path for item in Fruits360(frames=6).items(root) if item.part == "test"]
    assert {int(path.split("_")[1]) for path in paths} == {0, 2, 4, 6, 8, 10}


@pytest.mark.parametrize("name", ["Apple Rotten 1", "Apple worm 1"])
def test_a_training_variety_that_repeats_a_test_variety_is_left_out(root, photo, written, name):
    expected = Fruits360(frames=3).items(root)
    written(root, {f"Training/Apple/{name}/r_{n}_100.jpg": photo(n) for n in range(3)})
    assert Fruits360(frames=3).items(root) == expected


def test_a_copy_with_the_frames_that_are_taken_gives_the_same_items(root, tmp_path, written):
    whole = Fruits360(frames=4)
    items = whole.items(root)
    small = written(tmp_path / "small", {item.path: whole.source(item) for item in items})
    assert Fruits360(frames=4).items(small) == items


def test_folder_outer_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root.parent, tmp_path / "zip" / "fruits.zip")
    readers = [(Fruits360(frames=3), place) for place in (root, root.parent, archive, archive.parent)]
    first, *others = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 9
    assert others == [first] * 3


def test_a_variety_with_too_few_frames_is_found_by_its_count(root):
    fruits = Fruits360(frames=7)
    items = fruits.items(root)
    with pytest.raises(DataError, match="train has 13 pictures of 2 classes, published are 14 pictures of 2"):
        fruits.check_counts(items)


def test_other_layouts_are_called_by_their_names(tmp_path, root, written):
    classic = written(tmp_path / "classic", {"Training/Apple 5/r_0_100.jpg": b"", "Test/Apple 5/0.jpg": b""})
    with pytest.raises(DataError, match="this is the classic Fruits-360"):
        Fruits360().items(classic)
    written(root.parent, {"again/Test/Apple/Apple 6/r_0_100.jpg": b""})
    with pytest.raises(DataError, match="several sets of pictures: again, fruits-360-3-body-problem"):
        Fruits360().items(root.parent)
    with pytest.raises(DataError, match="no pictures Training/FRUIT/VARIETY/FRAME") as caught:
        Fruits360().items(tmp_path / "classic" / "Test")
    assert "--from" in caught.value.way_out


def test_a_damaged_picture_is_named(root):
    path = "Test/Apple/Apple 6/r_4_100.jpg"
    (root / path).write_bytes(b"\xff\xd8")
    fruits = Fruits360(frames=3)
    (item,) = [item for item in fruits.items(root) if item.path == path]
    with pytest.raises(UnreadablePicture, match=path):
        read_picture(fruits, item, 16, 3)


def test_the_small_edition_is_the_data_of_the_task(test_data):
    fruits = Fruits360()
    items = fruits.items(test_data("fruits360/fruits-360-3-body-24.zip"))
    fruits.check_counts(items)
    assert Counter(item.superclass for item in items) == {
        "Apple": 30 * 24,
        "Cherry": 16 * 24,
        "Tomato": 19 * 24,
    }
    sources = [(item, hashlib.sha256(fruits.source(item)).hexdigest()) for item in items]
    task = load_task("fruits360")
    assert fingerprint(sources) == task.fingerprint
    assert len({source for _, source in sources}) == len(sources)  # no picture is there twice
    sides = split_items(items, task.split)
    assert [len({item.label for item in side}) for side in sides.values()] == [37, 10, 18]
    assert {item.superclass for item in sides["validation"]} == {"Apple", "Cherry", "Tomato"}
