from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import fashion_mnist as module
from dmlbench_plugins.datasets.fashion_mnist import FashionMnist

from dmlbench.api import DataError
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task

LABELS = {"train": [9, 0, 0, 3, *range(10)], "t10k": [9, 2, *range(10)]}


def pixels(half: str) -> np.ndarray:
    """A bright square on black, another one in each picture."""
    found = np.zeros((len(LABELS[half]), 28, 28), dtype=np.uint8)
    for n, picture in enumerate(found):
        picture[4 : 8 + n, 4 : 8 + n] = 200 + n
    return found


def idx(values: np.ndarray) -> bytes:
    lengths = b"".join(length.to_bytes(4, "big") for length in values.shape)
    return bytes([0, 0, 8, values.ndim]) + lengths + values.tobytes()


@pytest.fixture(params=["", ".gz"])
def root(request, tmp_path, monkeypatch, written) -> Path:
    files, digests = {}, {}
    for half, labels in LABELS.items():
        digests[half] = hashlib.sha256(bytes(labels)).hexdigest()
        files[f"{half}-labels-idx1-ubyte"] = idx(np.array(labels, dtype=np.uint8))
        files[f"{half}-images-idx3-ubyte"] = idx(pixels(half))
    monkeypatch.setattr(module, "LABELS", digests)
    pack = gzip.compress if request.param else bytes
    return written(
        tmp_path / "FashionMNIST" / "raw", {f"{n}{request.param}": pack(c) for n, c in files.items()}
    )


def test_the_first_five_classes_train(root):
    fashion = FashionMnist(per_class=2)
    items = fashion.items(root)
    fashion.check_counts(items)
    assert set(Counter(item.label for item in items).values()) == {2}
    assert {item.label for item in items if item.part == "train"} == {
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
    }
    assert items[0].path == "t10k/00001"  # the first one is a third ankle boot
    assert {item.path.split("/")[0]: item.columns["image_split"] for item in items} == {
        "t10k": "test",
        "train": "train",
    }


def test_pictures_are_dark_on_white_and_the_ones_that_the_labels_are_of(root):
    fashion = FashionMnist()
    items = fashion.items(root.parent)
    assert len(items) == sum(map(len, LABELS.values()))
    for item in items:
        half, number = item.path.split("/")
        assert module.CLASSES.index(item.label) == LABELS[half][int(number)]
        picture = fashion.picture(item, 28)
        assert picture.mode == "L"
        assert np.array_equal(255 - np.asarray(picture), pixels(half)[int(number)])


def test_other_sets_of_the_same_file_names_are_refused(root, monkeypatch):
    monkeypatch.setitem(module.LABELS, "t10k", "0" * 64)
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte are not those of Fashion-MNIST; MNIST"):
        FashionMnist().items(root)


def test_what_is_missing_or_damaged_is_named(root):
    end = ".gz" if (root / "t10k-images-idx3-ubyte.gz").exists() else ""
    file = root / f"t10k-images-idx3-ubyte{end}"
    whole = file.read_bytes()
    content = gzip.decompress(whole) if end else whole
    pack = gzip.compress if end else bytes
    for damaged, message in (
        (pack(content[:-800]), r"t10k-images-idx3-ubyte has 10 pictures for 12 labels"),
        (pack(b"\0\0\x0d\3" + content[4:]), "is no IDX file of bytes with 3 axes"),
        (pack(b""), "is no IDX file of bytes with 3 axes"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=message):
            FashionMnist().items(root)
    if end:
        file.write_bytes(whole[:-20])
        with pytest.raises(DataError, match="no complete gzip file"):
            FashionMnist().items(root)
    file.unlink()
    with pytest.raises(DataError, match=r"neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte\.gz"):
        FashionMnist().items(root)
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte or \.gz here") as caught:
        FashionMnist().items(root / "empty")
    assert "--download" in caught.value.way_out


def test_too_few_pictures_of_a_class_are_counted(root):
    fashion = FashionMnist(per_class=3)
    items = fashion.items(root)
    with pytest.raises(DataError, match="published are 15 pictures of 5 classes"):
        fashion.check_counts(items)


def test_the_task_trains_three_classes_and_validates_two(root):
    items = FashionMnist(per_class=2).items(root)
    sides = split_items(items, load_task("fashion-mnist").split)
    assert [len({item.label for item in side}) for side in sides.values()] == [3, 2, 5]
