from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import cub200_2011 as module
from dmlbench_plugins.datasets.cub200_2011 import Cub200

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture
from dmlbench.data.prepare import prepare
from dmlbench.data.shots import divided
from dmlbench.protocols import load_protocol, load_task, load_track
from dmlbench.spec.task import Split

CLASSES = {1: "001.Black_footed_Albatross", 100: "100.Brown_Pelican", 101: "101.White_Pelican"}


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    """Three classes of two pictures; one of the pictures is grey."""
    monkeypatch.setattr(module, "PUBLISHED", {"train": (2, 4), "test": (1, 2)})
    files: dict[str, str | bytes] = {"classes.txt": "".join(f"{n} {name}\n" for n, name in CLASSES.items())}
    images, labels, split = [], [], []
    for number, (label, name) in enumerate([pair for pair in CLASSES.items() for _ in range(2)], start=1):
        path = f"{name}/Bird_{number:04}_{number}.jpg"
        images.append(f"{number} {path}\n")
        labels.append(f"{number} {label}\n")
        split.append(f"{number} {number % 2}\n")
        files[f"images/{path}"] = photo(number, mode="L" if number == 3 else "RGB")
    files |= {
        "images.txt": "".join(images),
        "image_class_labels.txt": "".join(labels),
        "train_test_split.txt": "".join(split),
    }
    return written(tmp_path / "data" / "CUB_200_2011", files)


def test_the_first_hundred_classes_train_and_the_authors_split_is_a_column(root):
    cub = Cub200()
    items = cub.items(root)
    cub.check_counts(items)
    assert [item.path for item in items] == sorted(item.path for item in items)
    assert Counter((item.part, item.label) for item in items) == {
        ("train", "001.Black_footed_Albatross"): 2,
        ("train", "100.Brown_Pelican"): 2,
        ("test", "101.White_Pelican"): 2,
    }
    assert [item.columns["image_split"] for item in items] == ["train", "test"] * 3
    assert items[0].path == "images/001.Black_footed_Albatross/Bird_0001_1.jpg"


def test_folder_outer_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root.parent, tmp_path / "zip" / "cub.zip")
    readers = [(Cub200(), place) for place in (root, root.parent, archive, archive.parent)]
    first, *others = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 6
    assert others == [first] * 3


def test_grey_photos_get_three_channels(root):
    cub = Cub200()
    items = cub.items(root)
    for item in items:
        assert (cub.picture(item, 24).mode, cub.picture(item, 24).size) == ("RGB", (24, 24))
    grey = cub.picture(items[2], 24)
    red, green, blue = grey.split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


def test_a_missing_photo_is_an_item_that_cannot_be_read(root):
    (root / "images" / CLASSES[100] / "Bird_0003_3.jpg").unlink()
    cub = Cub200()
    items = cub.items(root)
    cub.check_counts(items)
    with pytest.raises(UnreadablePicture, match=r"100\.Brown_Pelican/Bird_0003_3\.jpg cannot be read"):
        read_picture(cub, items[2], 24, 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images.txt", None, r"no folder with images\.txt and images here"),
        ("classes.txt", None, r"there is no classes\.txt"),
        ("classes.txt", "1\n", r"line 1 of classes\.txt is not a number and a name"),
        ("classes.txt", "1 one\n", "images.txt does not fit the lists beside it: '100'"),
        ("image_class_labels.txt", "1 1\n", "images.txt does not fit the lists beside it: '2'"),
    ],
)
def test_what_is_wrong_with_the_lists_is_named(root, name, text, message):
    (root / name).unlink() if text is None else (root / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        Cub200().items(root)
    assert "--from" in caught.value.way_out


def test_other_counts_are_refused_with_both_numbers(root):
    lines = (root / "images.txt").read_text().splitlines(keepends=True)
    (root / "images.txt").write_text("".join(lines[:-1]))
    cub = Cub200()
    with pytest.raises(
        DataError, match="test has 1 pictures of 1 classes, published are 2 pictures of 1 classes"
    ):
        cub.check_counts(cub.items(root))


def test_the_edition_of_2010_is_called_by_its_name(root, tmp_path, written, monkeypatch):
    older = written(tmp_path / "CUB_200_2010", {"lists/files.txt": "", "images/001.Albatross/x.jpg": b""})
    for place in (older, older.parent):
        with pytest.raises(DataError, match="this is CUB-200 of 2010"):
            Cub200().items(place)
    monkeypatch.setattr(module, "EDITION_OF_2010", 5)
    lines = (root / "images.txt").read_text().splitlines(keepends=True)
    (root / "images.txt").write_text("".join(lines[:-1]))
    cub = Cub200()
    items = cub.items(root)
    with pytest.raises(DataError, match="5 pictures: this is CUB-200 of 2010"):
        cub.check_counts(items)


def test_the_published_counts_are_those_of_the_field():
    assert module.PUBLISHED == {"train": (100, 5864), "test": (100, 5924)}


def test_no_root_is_an_error_with_a_way_out():
    with pytest.raises(DataError, match="folder or zip file") as caught:
        Cub200().items(None)
    assert "--from" in caught.value.way_out


def test_a_partial_copy_is_prepared_without_what_is_missing(root, tmp_path):
    (root / "images" / CLASSES[101] / "Bird_0005_5.jpg").unlink()
    split = Split(rule="official", seed=0, validation_groups=1)
    task = load_task("cub200-2011").model_copy(update={"split": split})
    images = load_track("omniglot-conv4-28px-d128").images
    with pytest.raises(DataError, match=r"Bird_0005_5\.jpg cannot be read"):
        prepare(task, images, Cub200(), root, tmp_path / "home")
    part = prepare(task, images, Cub200(), root, tmp_path / "home", allow_partial=True)
    assert part.left_out == ["images/101.White_Pelican/Bird_0005_5.jpg"]
    assert part.train.columns == {"image_split": ["train", "test"]}
    assert len(part.test_rows) == 1


def test_few_photos_are_learnt_from_and_others_scored_as_the_authors_split_says(root, tmp_path):
    rules, task = load_protocol("low-shot/v1").shots, load_task("cub200-2011-low-shot")
    assert task.protocol == "low-shot/v1"
    few = task.model_copy(update={"split": task.split.model_copy(update={"validation_groups": 1})})
    images = load_track("omniglot-conv4-28px-d128").images
    data = prepare(few, images, Cub200(), root, tmp_path / "home")
    for part, novel in ((data.train, False), (data.validation, True), (data.test_labels(), True)):
        cut = divided(rules, part, "here", novel=novel)
        sides = dict.fromkeys(cut.pool.tolist(), "train")
        sides |= dict.fromkeys(cut.scored.tolist(), "test")
        assert [sides[place] for place in range(len(part.labels))] == part.columns["image_split"]
    assert data.test_labels().classes == (CLASSES[101],)
