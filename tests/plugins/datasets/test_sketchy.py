from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import sketchy as module
from dmlbench_plugins.datasets.sketchy import Sketchy

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture

PHOTO, SKETCH = "256x256/photo/tx_000000000000_ready", "256x256/sketch/tx_000000000000_ready"
EXTENSION = "EXTEND_image_sketchy_ready"
LISTS = {
    "all_photo_filelist_train.txt": [
        f"{PHOTO}/pig/n02395406_3933.jpg 0",
        f"{EXTENSION}/pig/ext_450.jpg 0",
        f"{EXTENSION}/pig/n02395406_3933.jpg 0",
    ],
    "all_photo_filelist_zero.txt": [f"{PHOTO}/cup/n03063073_5868.jpg 0", f"{EXTENSION}/cup/ext_1.jpg 0 "],
    "sketch_tx_000000000000_ready_filelist_train.txt": [f"{SKETCH}/pig/n02395406_3933-2.png 0"],
    "sketch_tx_000000000000_ready_filelist_test.txt": [f"{SKETCH}/pig/n02395406_3933-1.png 0"],
    "sketch_tx_000000000000_ready_filelist_zero.txt": [f"{SKETCH}/cup/n03063073_5868-1.png 0"],
}
COUNTS = {
    "train photos": (1, 3),
    "test photos": (1, 2),
    "train sketches": (1, 2),
    "test sketches": (1, 1),
}


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    monkeypatch.setattr(module, "PUBLISHED", {25: COUNTS, 21: COUNTS})
    monkeypatch.setattr(module, "TWICE", {25: {"train photos": 1}, 21: {}})
    files: dict[str, str | bytes] = {
        f"zeroshot1/{name}": "\n".join(lines) + "\n" for name, lines in LISTS.items()
    }
    for n, path in enumerate(line.split()[0] for lines in LISTS.values() for line in lines):
        files[path] = photo(n, (30, 30), "PNG" if path.endswith("png") else "JPEG")
    return written(tmp_path / "data" / "Sketchy", files)


def test_lists_give_domains_sides_and_what_is_held_out(root):
    sketchy = Sketchy()
    items = sketchy.items(root)
    sketchy.check_counts(items)
    found = Counter((i.label, i.part, i.columns["domain"], i.columns["held_out"]) for i in items)
    assert found == {
        ("pig", "train", "photo", 0): 3,
        ("pig", "train", "sketch", 0): 1,
        ("pig", "train", "sketch", 1): 1,
        ("cup", "test", "photo", 0): 2,
        ("cup", "test", "sketch", 0): 1,
    }
    assert [item.path for item in items] == sorted(item.path for item in items)
    assert all(sketchy.picture(item, 16).mode == "RGB" for item in items)


def test_photos_that_the_extension_repeats_can_be_left_out(root):
    twice, once = Sketchy(), Sketchy(dedupe=True)
    items = once.items(root)
    once.check_counts(items)
    every = {item.path for item in twice.items(root)}
    assert every - {item.path for item in items} == {f"{EXTENSION}/pig/n02395406_3933.jpg"}


def test_the_other_split_has_lists_of_its_own(root, written):
    with pytest.raises(DataError, match="no folder with zeroshot2"):
        Sketchy(unseen=21).items(root)
    (root / "zeroshot1").rename(root / "zeroshot2")
    sketchy = Sketchy(unseen=21)
    sketchy.check_counts(sketchy.items(root))
    with pytest.raises(DataError, match="no folder with zeroshot1"):
        Sketchy().items(root)


def test_folders_as_the_authors_call_them_and_a_zip_file_will_do(root, tmp_path, zipped):
    first = Sketchy()
    expected = [(item, first.source(item)) for item in first.items(root)]
    for folder in (PHOTO, SKETCH, EXTENSION):
        (root / folder).rename(root / folder.removesuffix("_ready"))
    archive = zipped(root.parent, tmp_path / "zip" / "dataset.zip")
    for place in (root, archive):
        reader = Sketchy()
        assert [(item, reader.source(item)) for item in reader.items(place)] == expected


def test_a_missing_picture_is_an_item_that_cannot_be_read(root):
    (root / EXTENSION / "cup" / "ext_1.jpg").unlink()
    sketchy = Sketchy()
    (item,) = [item for item in sketchy.items(root) if item.path.endswith("cup/ext_1.jpg")]
    with pytest.raises(UnreadablePicture, match=r"cup/ext_1\.jpg cannot be read"):
        read_picture(sketchy, item, 16, 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("all_photo_filelist_zero.txt", None, r"there is no all_photo_filelist_zero\.txt"),
        ("all_photo_filelist_zero.txt", "cup.jpg 0\n", r"line 1 of all_photo_filelist_zero\.txt is no path"),
        ("all_photo_filelist_zero.txt", f"{PHOTO}/cup/x.jpg\n", "is no path and label"),
    ],
)
def test_what_is_wrong_with_the_lists_is_named(root, name, text, message):
    file = root / "zeroshot1" / name
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        Sketchy().items(root)
    assert caught.value.place


def test_the_published_counts_add_up_to_the_whole_of_the_set():
    for unseen, counts in module.PUBLISHED.items():
        assert counts["train photos"][1] + counts["test photos"][1] == 85502
        assert counts["train sketches"][1] + counts["test sketches"][1] == 75481
        assert counts["test photos"][0] == counts["test sketches"][0] == unseen
        assert sum(module.TWICE[unseen].values()) == 12499


def test_other_counts_are_refused(root):
    (root / "zeroshot1" / "all_photo_filelist_zero.txt").write_text(f"{PHOTO}/cup/n03063073_5868.jpg 0\n")
    sketchy = Sketchy()
    items = sketchy.items(root)
    with pytest.raises(DataError, match="test photos has 1 pictures of 1 classes, published are 2 pictures"):
        sketchy.check_counts(items)
