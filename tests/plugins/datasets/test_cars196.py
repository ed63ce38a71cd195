from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import cars196 as module
from dmlbench_plugins.datasets.cars196 import Cars196
from scipy.io import savemat

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture

NAMES = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "FIAT 500 Abarth 2012"]
#: Half of the authors' split, file, class. The miniature's classes 1 and 2 train.
PHOTOS = [
    ("train", "00001.jpg", 2),
    ("train", "00002.jpg", 3),
    ("test", "00001.jpg", 1),
    ("test", "00002.jpg", 3),
]


def mat(**content: list[dict[str, object]] | list[str]) -> bytes:
    """A MATLAB file with struct arrays, 1 x n, as the authors write them."""
    arrays = {}
    for name, rows in content.items():
        if isinstance(rows[0], dict):
            array = np.zeros((1, len(rows)), dtype=[(field, object) for field in rows[0]])
            for n, row in enumerate(rows):
                array[0, n] = tuple(row.values())
        else:
            array = np.array(rows, dtype=object)[None]
        arrays[name] = array
    file = io.BytesIO()
    savemat(file, arrays)
    return file.getvalue()


def box(**more: object) -> dict[str, object]:
    return {"bbox_x1": 39, "bbox_y1": 116, "bbox_x2": 569, "bbox_y2": 375, **more}


@pytest.fixture
def one_folder(tmp_path, photo, written) -> Path:
    rows = [
        {"relative_im_path": f"car_ims/{n:06}.jpg", **box(), "class": label, "test": int(half == "test")}
        for n, (half, _, label) in enumerate(PHOTOS, start=1)
    ]
    files = {f"car_ims/{n:06}.jpg": photo(n) for n in range(1, 5)}
    annos = mat(annotations=rows, class_names=NAMES)
    return written(tmp_path / "a", files | {"cars_annos.mat": annos})


@pytest.fixture
def devkit(tmp_path, photo, written) -> Path:
    files = {f"cars_{half}/{name}": photo(n) for n, (half, name, _) in enumerate(PHOTOS)}
    for half, name in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = [box(**{"class": label, "fname": file}) for part, file, label in PHOTOS if part == half]
        files[name] = mat(annotations=rows)
    return written(tmp_path / "b", files | {"devkit/cars_meta.mat": mat(class_names=NAMES)})


@pytest.fixture
def by_class(tmp_path, photo, written) -> Path:
    files: dict[str, str | bytes] = {
        f"car_data/car_data/{half}/{NAMES[label - 1].replace('/', '-')}/{name}": photo(n)
        for n, (half, name, label) in enumerate(PHOTOS)
    }
    for half in ("train", "test"):
        rows = [f"{file},39,116,569,375,{label}\n" for part, file, label in PHOTOS if part == half]
        files[f"anno_{half}.csv"] = "".join(rows)
    return written(tmp_path / "c", files | {"names.csv": "".join(f"{name}\n" for name in NAMES)})


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    monkeypatch.setattr(module, "LAST_TRAINING_CLASS", 2)
    monkeypatch.setattr(module, "PUBLISHED", {"train": (2, 2), "test": (1, 2)})
    monkeypatch.setattr(module, "HALVES", {2: "cars_train"})


def seen(root: Path) -> list[tuple[str, str, str, str]]:
    cars = Cars196()
    items = cars.items(root)
    cars.check_counts(items)
    assert [item.path for item in items] == sorted(item.path for item in items)
    assert all(cars.picture(item, 20).size == (20, 20) for item in items)
    return [(item.path, item.label, item.part, str(item.columns["image_split"])) for item in items]


def test_one_folder_with_one_list(one_folder):
    assert seen(one_folder) == [
        ("car_ims/000001.jpg", "002.Ram C-V Cargo Van Minivan 2012", "train", "train"),
        ("car_ims/000002.jpg", "003.FIAT 500 Abarth 2012", "test", "train"),
        ("car_ims/000003.jpg", "001.AM General Hummer SUV 2000", "train", "test"),
        ("car_ims/000004.jpg", "003.FIAT 500 Abarth 2012", "test", "test"),
    ]


def test_two_folders_with_a_devkit_are_put_together(devkit):
    assert seen(devkit) == [
        ("cars_test/00001.jpg", "001.AM General Hummer SUV 2000", "train", "test"),
        ("cars_test/00002.jpg", "003.FIAT 500 Abarth 2012", "test", "test"),
        ("cars_train/00001.jpg", "002.Ram C-V Cargo Van Minivan 2012", "train", "train"),
        ("cars_train/00002.jpg", "003.FIAT 500 Abarth 2012", "test", "train"),
    ]


def test_folders_by_class_give_the_same_items_and_bytes_as_the_devkit(devkit, by_class):
    assert seen(by_class) == seen(devkit)
    first, second = Cars196(), Cars196()
    for one, other in zip(first.items(devkit), second.items(by_class), strict=True):
        assert first.source(one) == second.source(other)


@pytest.mark.parametrize("layout", ["one_folder", "devkit", "by_class"])
def test_a_zip_file_is_as_good_as_the_folder(layout, request, zipped, tmp_path):
    root = request.getfixturevalue(layout)
    archive = zipped(root, tmp_path / "zips" / f"{layout}.zip")
    assert seen(archive) == seen(archive.parent) == seen(root)


def test_archives_may_be_unpacked_to_folders_called_after_them(one_folder, devkit):
    expected = seen(one_folder), seen(devkit)
    for folder, name in ((one_folder, "car_ims"), (devkit, "cars_train"), (devkit, "cars_test")):
        (folder / name).rename(folder / "moved")
        (folder / name).mkdir()
        (folder / "moved").rename(folder / name / name)
    (devkit / "car_devkit").mkdir()
    (devkit / "devkit").rename(devkit / "car_devkit" / "devkit")
    assert (seen(one_folder), seen(devkit)) == expected


def test_one_half_alone_is_refused(devkit, by_class):
    (devkit / "cars_test").rename(devkit / "elsewhere")
    with pytest.raises(DataError, match="cars_train alone is not the whole of Cars196"):
        Cars196().items(devkit)
    (by_class / "car_data" / "car_data" / "test").rename(by_class / "elsewhere")
    with pytest.raises(DataError, match="there is no folder test: half of each class"):
        Cars196().items(by_class)


def test_lists_of_one_half_are_refused_by_its_count(one_folder, written):
    rows = [
        {"relative_im_path": f"car_ims/{n:06}.jpg", **box(), "class": label, "test": 0}
        for n, (half, _, label) in enumerate(PHOTOS, start=1)
        if half == "train"
    ]
    written(one_folder, {"cars_annos.mat": mat(annotations=rows, class_names=NAMES)})
    cars = Cars196()
    items = cars.items(one_folder)
    with pytest.raises(DataError, match="2 pictures: cars_train alone, about half of each class"):
        cars.check_counts(items)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "cars_test_annos_withlabels.mat",
            None,
            r"no cars_test_annos_withlabels\.mat; cars_test_annos\.mat says",
        ),
        ("devkit/cars_meta.mat", None, r"there is no cars_meta\.mat"),
        ("devkit/cars_meta.mat", mat(class_names=NAMES[:2]), "class 3, where 2 have names"),
        (
            "devkit/cars_train_annos.mat",
            mat(annotations=[box(fname="00001.jpg")]),
            "not as published: no field",
        ),
        ("devkit/cars_train_annos.mat", b"x" * 200, "not as published"),
    ],
)
def test_what_is_wrong_with_the_devkit_is_named(devkit, written, name, content, message):
    (devkit / name).unlink() if content is None else written(devkit, {name: content})
    with pytest.raises(DataError, match=message) as caught:
        Cars196().items(devkit)
    assert "--from" in caught.value.way_out


def test_a_missing_photo_is_an_item_that_cannot_be_read(by_class):
    (by_class / "car_data" / "car_data" / "test" / NAMES[2] / "00002.jpg").unlink()
    cars = Cars196()
    item = cars.items(by_class)[1]
    with pytest.raises(UnreadablePicture, match=r"cars_test/00002\.jpg cannot be read"):
        read_picture(cars, item, 20, 3)


def test_no_layout_and_no_root_are_errors_with_a_way_out(tmp_path):
    for root, message in ((None, "folder or zip file"), (tmp_path, "none of the layouts of Cars196")):
        with pytest.raises(DataError, match=message) as caught:
            Cars196().items(root)
        assert "--from" in caught.value.way_out
