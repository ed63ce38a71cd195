from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import uc_merced as module
from dmlbench_plugins.datasets.uc_merced import UcMerced

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    """Two pictures a class; those of one class are not quite square."""
    monkeypatch.setattr(module, "PER_CLASS", 2)
    files = {
        f"Images/{name}/{name}{n:02}.tif": photo(n, (32, 31) if name == "beach" else (32, 32), "TIFF")
        for name in module.CLASSES
        for n in range(2)
    }
    return written(tmp_path / "data" / "UCMerced_LandUse", files)


def test_there_are_2100_pictures_of_21_classes(tmp_path, written):
    items = UcMerced().items(written(tmp_path, {"Images/agricultural/agricultural00.tif": b""}))
    assert set(Counter(item.label for item in items).values()) == {100}
    assert len(items) == 2100
    assert [item.path for item in items] == sorted(item.path for item in items)


def test_folder_outer_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root.parent, tmp_path / "zip" / "UCMerced_LandUse.zip")
    readers = [(UcMerced(), place) for place in (root, root.parent, archive, archive.parent)]
    first, *others = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 42
    assert others == [first] * 3


def test_all_pictures_become_squares_in_colour(root):
    land = UcMerced()
    for item in land.items(root):
        assert (land.picture(item, 16).mode, land.picture(item, 16).size) == ("RGB", (16, 16))


def test_a_missing_picture_is_named(root):
    (root / "Images" / "beach" / "beach01.tif").unlink()
    land = UcMerced()
    (item,) = [item for item in land.items(root) if item.path.endswith("beach01.tif")]
    with pytest.raises(UnreadablePicture, match=r"beach/beach01\.tif cannot be read"):
        read_picture(land, item, 16, 3)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder with Images") as caught:
        UcMerced().items(tmp_path)
    assert "--from" in caught.value.way_out
