from __future__ import annotations

from pathlib import Path

import pytest
from dmlbench_plugins.datasets import sop as module
from dmlbench_plugins.datasets.sop import OnlineProducts

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture

TRAIN = ["1 1 1 bicycle_final/111_0.JPG", "2 1 1 bicycle_final/111_1.JPG", "3 2 12 toaster_final/9_0.JPG"]
TEST = ["4 11319 9 sofa_final/222_0.JPG", "5 11319 9 sofa_final/222_1.JPG"]


def listed(lines: list[str]) -> str:
    return "\n".join(["image_id class_id super_class_id path", *lines]) + "\n"


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    monkeypatch.setattr(module, "PUBLISHED", {"train": (2, 3), "test": (1, 2)})
    files: dict[str, str | bytes] = {"Ebay_train.txt": listed(TRAIN), "Ebay_test.txt": listed(TEST)}
    files |= {line.split()[3]: photo(n, mode="RGB" if n else "L") for n, line in enumerate(TRAIN + TEST)}
    return written(tmp_path / "data" / "Stanford_Online_Products", files)


def test_the_authors_lists_give_classes_sides_and_super_classes(root):
    products = OnlineProducts()
    items = products.items(root)
    products.check_counts(items)
    assert [(item.path, item.label, item.part, item.superclass) for item in items] == [
        ("bicycle_final/111_0.JPG", "00001", "train", "bicycle"),
        ("bicycle_final/111_1.JPG", "00001", "train", "bicycle"),
        ("sofa_final/222_0.JPG", "11319", "test", "sofa"),
        ("sofa_final/222_1.JPG", "11319", "test", "sofa"),
        ("toaster_final/9_0.JPG", "00002", "train", "toaster"),
    ]
    assert all(products.picture(item, 20).mode == "RGB" for item in items)


def test_folder_outer_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root.parent, tmp_path / "zip" / "Stanford_Online_Products.zip")
    readers = [(OnlineProducts(), place) for place in (root, root.parent, archive, archive.parent)]
    first, *others = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 5
    assert others == [first] * 3


def test_a_missing_photo_of_a_zip_file_is_an_item_that_cannot_be_read(root, tmp_path, zipped):
    (root / "sofa_final/222_0.JPG").unlink()
    products = OnlineProducts()
    items = products.items(zipped(root, tmp_path / "zip" / "sop.zip"))
    products.check_counts(items)
    with pytest.raises(UnreadablePicture, match=r"sofa_final/222_0\.JPG cannot be read"):
        read_picture(products, items[2], 20, 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Ebay_test.txt", None, r"no folder with Ebay_train\.txt and Ebay_test\.txt"),
        ("Ebay_test.txt", "", r"Ebay_test\.txt begins with ''"),
        ("Ebay_train.txt", "1 1 1 bicycle_final/111_0.JPG\n", r"Ebay_train\.txt begins with '1 1 1"),
        ("Ebay_test.txt", listed([*TEST, "6 x"]), r"line 4 of Ebay_test\.txt names no picture: '6 x'"),
    ],
)
def test_what_is_wrong_with_the_lists_is_named(root, name, text, message):
    (root / name).unlink() if text is None else (root / name).write_text(text)
    with pytest.raises(DataError, match=message):
        OnlineProducts().items(root)


def test_other_counts_than_published_are_refused(root):
    (root / "Ebay_train.txt").write_text(listed(TRAIN[:2]))
    products = OnlineProducts()
    items = products.items(root)
    with pytest.raises(
        DataError, match="train has 2 pictures of 1 classes, published are 3 pictures of 2 classes"
    ):
        products.check_counts(items)


def test_a_cut_archive_and_no_root_are_named(tmp_path):
    (tmp_path / "Stanford_Online_Products.zip").write_bytes(b"PK\x03\x04")
    for root, message in ((tmp_path, "no complete zip file"), (None, "folder or zip file")):
        with pytest.raises(DataError, match=message):
            OnlineProducts().items(root)
