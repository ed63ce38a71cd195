from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets.grocery import GroceryStore
from PIL import Image

import dmlbench
from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, fingerprint, read_picture
from dmlbench.data.split import split_items
from dmlbench.spec.task import Task
from dmlbench.spec.toml import load_spec

TASK = load_spec(Task, Path(dmlbench.__file__).parent / "protocols" / "tasks" / "grocery.toml")
CLASSES = (("Pink-Lady", "Apple"), ("Royal-Gala", "Apple"), ("Leek", "Leek"))
HEADER = (
    "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str)"
)


def photo(seed: int, size: tuple[int, int]) -> bytes:
    """A soft colour field, wide or high or square."""
    field = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(field).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def repository(tmp_path) -> Path:
    """The authors' layout: three classes, two photos of each in two of the lists."""
    dataset = tmp_path / "repository" / "dataset"
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number, (fine, coarse) in enumerate(CLASSES):
        for part in ("train", "test"):
            for i, size in enumerate([(348, 348), (348, 464)]):
                path = f"{part}/{coarse}/{fine}/{fine}_{i:03}.jpg"
                file = dataset / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(photo(10 * number + i, size))
                lists[part].append(f"{path}, {number}, {int(coarse == 'Leek')}\n")
    for part, lines in lists.items():
        (dataset / f"{part}.txt").write_text("".join(lines))
    rows = [f"{fine},{n},{coarse},{int(coarse == 'Leek')},/x.jpg" for n, (fine, coarse) in enumerate(CLASSES)]
    (dataset / "classes.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (dataset / "iconic-images-and-descriptions").mkdir()
    (dataset / "iconic-images-and-descriptions" / "Leek_Iconic.jpg").write_bytes(photo(99, (96, 96)))
    return dataset.parent


@pytest.fixture
def zipped(repository, tmp_path):
    def make(prefix: str) -> Path:
        file = tmp_path / "archives" / "grocery.zip"
        file.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(p for p in repository.rglob("*") if p.is_file()):
                archive.write(path, prefix + path.relative_to(repository).as_posix())
        return file

    return make


def seen(root: Path) -> list[tuple[str, str]]:
    grocery = GroceryStore()
    items = grocery.items(root)
    return [(item.path, hashlib.sha256(grocery.source(item)).hexdigest()) for item in items]


def test_items_come_from_the_lists_with_their_classes(repository):
    items = GroceryStore().items(repository)
    assert [item.path for item in items] == sorted(item.path for item in items)
    assert Counter((item.label, item.group, item.superclass) for item in items) == {
        ("Pink-Lady", "Pink-Lady", "Apple"): 4,
        ("Royal-Gala", "Royal-Gala", "Apple"): 4,
        ("Leek", "Leek", "Leek"): 4,
    }
    assert {item.part for item in items} == {""}


@pytest.mark.parametrize("prefix", ["", "GroceryStoreDataset-fc80ba9/"])
def test_folder_archive_and_folder_with_the_archive_are_one(repository, zipped, prefix):
    file = zipped(prefix)
    assert len(seen(repository)) == 12
    assert seen(repository) == seen(repository / "dataset") == seen(file) == seen(file.parent)


def test_photos_of_full_size_become_those_of_the_small_edition(repository):
    whole = GroceryStore()
    items = whole.items(repository)
    expected = {item.path: whole.source(item) for item in items}
    for path, content in expected.items():
        (repository / "dataset" / path).write_bytes(content)
    small = GroceryStore()
    assert {item.path: small.source(item) for item in small.items(repository)} == expected
    for item in items:
        with Image.open(io.BytesIO(expected[item.path])) as picture:
            assert picture.size == ((96, 96) if item.path.endswith("_000.jpg") else (96, 128))
            assert picture.format == "JPEG"
            # The standard table ends in 99; quality 82 takes 36 % of it.
            assert picture.quantization[0][-1] == 36


def test_pictures_are_central_squares(repository):
    path = repository / "dataset" / "train" / "Leek" / "Leek" / "Leek_001.jpg"
    field = np.zeros((464, 348, 3), dtype=np.uint8)
    field[:58], field[-58:] = 255, 255  # what a square in the middle leaves out
    Image.fromarray(field).save(path, "JPEG", quality=95)
    grocery = GroceryStore()
    (item,) = [item for item in grocery.items(repository) if item.path == "train/Leek/Leek/Leek_001.jpg"]
    picture = grocery.picture(item, 48)
    assert (picture.mode, picture.size) == ("RGB", (48, 48))
    assert np.asarray(picture)[2:-2].max() < 40


def test_a_damaged_photo_is_named(repository):
    path = "train/Leek/Leek/Leek_000.jpg"
    (repository / "dataset" / path).write_bytes(b"no photo")
    (repository / "dataset" / "train/Leek/Leek/Leek_001.jpg").unlink()
    grocery = GroceryStore()
    for item in grocery.items(repository):
        if item.path.startswith("train/Leek"):
            with pytest.raises(UnreadablePicture, match=item.path):
                read_picture(grocery, item, 96, 3)
        else:
            assert len(read_picture(grocery, item, 96, 3)[1]) == 96 * 96 * 3


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("val.txt", None, "there is no val.txt"),
        ("classes.csv", None, "there is no classes.csv"),
        ("classes.csv", "a,b\n1,2\n", "classes.csv has no column"),
        ("test.txt", "test/x.jpg, 7, 0\n", r"line 1 of test.txt names no class"),
        ("test.txt", "test/x.jpg\n", r"line 1 of test.txt names no class"),
    ],
)
def test_what_is_wrong_with_the_lists_is_named(repository, file, change, message):
    path = repository / "dataset" / file
    path.unlink() if change is None else path.write_text(change)
    with pytest.raises(DataError, match=message):
        GroceryStore().items(repository)


def test_other_folders_files_and_none_are_errors_with_a_way_out(tmp_path):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "grocery.zip").write_bytes(b"PK\x03\x04")
    for root, message in (
        (None, "needs the folder"),
        (tmp_path, "no train.txt"),
        (tmp_path / "cut", "zip file"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            GroceryStore().items(root)
        assert "--from" in caught.value.way_out


@pytest.fixture(scope="module")
def official() -> Path:
    given = os.environ.get("DMLBENCH_TEST_DATA")
    file = Path(given or "") / "grocery_store" / "GroceryStoreDataset-96px.zip"
    if not (given and file.is_file()):
        pytest.skip(
            "DMLBENCH_TEST_DATA does not name a folder with grocery_store/GroceryStoreDataset-96px.zip"
        )
    return file


def test_the_data_set_is_the_one_the_task_names(official):
    grocery = GroceryStore()
    items = grocery.items(official)
    assert len(items) == 5421
    assert (len({i.label for i in items}), len({i.superclass for i in items})) == (81, 43)
    sources = [(item, hashlib.sha256(grocery.source(item)).hexdigest()) for item in items]
    assert fingerprint(sources) == TASK.fingerprint
    sides = split_items(items, TASK.split)
    assert [len({item.label for item in side}) for side in sides.values()] == [33, 8, 40]
    assert min(Counter(item.label for item in items).values()) == 35


def test_the_command_takes_the_zip_file_itself(official, tmp_path, monkeypatch, dmlbench):
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "home"))
    missing = dmlbench("data", "prepare", "grocery", "--from", tmp_path / "none.zip")
    assert (missing.status, missing.out) == (2, "")
    assert "no such folder or file" in missing.err
    done = dmlbench("data", "prepare", "grocery", "--from", official)
    assert done.status == 0, done.err
    assert done.out.startswith("grocery: 5,421 pictures of 96 x 96 in ")
