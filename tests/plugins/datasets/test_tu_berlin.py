from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import tu_berlin as module
from dmlbench_plugins.datasets.tu_berlin import TuBerlin

from dmlbench.api import DataError

LISTS = {
    "ImageResized_ready_filelist_train.txt": ["ImageResized_ready/alarm clock/n02694662_1.JPEG 2"],
    "ImageResized_ready_filelist_zero.txt": [
        "ImageResized_ready/hot air balloon/n02782093_7.JPEG 1",
        "ImageResized_ready/banana/n07753592_7382.JPEG 0",
    ],
    "png_ready_filelist_train.txt": ["png_ready/alarm clock/81.png 2"],
    "png_ready_filelist_test.txt": ["png_ready/alarm clock/82.png 2"],
    "png_ready_filelist_zero.txt": ["png_ready/banana/836.png 0", "png_ready/hot air balloon/8700.png 1"],
}


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    counts = {"test photos": (2, 2), "train sketches": (1, 2), "test sketches": (2, 2)}
    monkeypatch.setattr(module, "PUBLISHED", counts)
    files: dict[str, str | bytes] = {f"zeroshot/{name}": "\n".join(lines) for name, lines in LISTS.items()}
    for n, line in enumerate(line for lines in LISTS.values() for line in lines):
        path = line.rpartition(" ")[0]
        files[path] = photo(n, (30, 30), *(("PNG", "L") if path.endswith("png") else ("JPEG",)))
    return written(tmp_path / "data" / "TUBerlin", files)


def test_labels_are_read_from_the_right_since_classes_have_spaces(root):
    berlin = TuBerlin()
    items = berlin.items(root)
    berlin.check_counts(items)
    found = Counter((i.label, i.part, i.columns["domain"], i.columns["held_out"]) for i in items)
    assert found == {
        ("alarm clock", "train", "photo", 0): 1,
        ("alarm clock", "train", "sketch", 0): 1,
        ("alarm clock", "train", "sketch", 1): 1,
        ("banana", "test", "photo", 0): 1,
        ("banana", "test", "sketch", 0): 1,
        ("hot air balloon", "test", "photo", 0): 1,
        ("hot air balloon", "test", "sketch", 0): 1,
    }
    assert all(berlin.picture(item, 16).mode == "RGB" for item in items)


def test_a_zip_file_is_as_good_as_the_folder(root, tmp_path, zipped):
    archive = zipped(root.parent, tmp_path / "zip" / "dataset.zip")
    readers = [(TuBerlin(), place) for place in (root, archive)]
    first, second = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 7
    assert first == second


def test_what_is_missing_is_named(root):
    (root / "zeroshot" / "png_ready_filelist_zero.txt").write_text("")
    berlin = TuBerlin()
    items = berlin.items(root)
    with pytest.raises(
        DataError, match="test sketches has 0 pictures of 0 classes, published are 2 pictures"
    ):
        berlin.check_counts(items)
    (root / "zeroshot" / "png_ready_filelist_zero.txt").unlink()
    with pytest.raises(DataError, match=r"there is no png_ready_filelist_zero\.txt"):
        TuBerlin().items(root)
    (root / "zeroshot").rename(root / "lists")
    with pytest.raises(DataError, match="no folder with zeroshot") as caught:
        TuBerlin().items(root)
    assert "--from" in caught.value.way_out
