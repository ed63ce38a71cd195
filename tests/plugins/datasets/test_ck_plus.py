"""The layout as documented, in miniature: nobody has run the reader on the real files here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import ck_plus as module
from dmlbench_plugins.datasets.ck_plus import EXPRESSIONS, CkPlus

from dmlbench.api import DataError, UsageError
from dmlbench.data.split import SIDES, split_items
from dmlbench.protocols import load_task

FRAMES = 4


@pytest.fixture
def root(tmp_path, photo, written, monkeypatch) -> Path:
    """Twelve people with a sequence for each expression and one without a label."""
    monkeypatch.setattr(module, "SEQUENCES", 12 * 7)
    picture = photo(0, (40, 30), "PNG", "L")
    files: dict[str, str | bytes] = {}
    for person in range(1, 13):
        for sequence in range(1, 9):
            place, stem = f"S{person:03}/{sequence:03}", f"S{person:03}_{sequence:03}"
            for frame in range(1, FRAMES + 1):
                files[f"cohn-kanade-images/{place}/{stem}_{frame:08}.png"] = picture
            if sequence < 8:
                files[f"Emotion/{place}/{stem}_{FRAMES:08}_emotion.txt"] = f"   {sequence:.7e}\n"
    return written(
        tmp_path / "CK+", {**files, "Emotion/S001/008/.keep": "", "cohn-kanade-images/.DS_Store": ""}
    )


def test_a_labelled_sequence_gives_its_peak(root):
    faces = CkPlus()
    items = faces.items(root)
    faces.check_counts(items)
    assert all(item.path.endswith(f"_{FRAMES:08}.png") for item in items)
    assert Counter(item.label for item in items) == dict.fromkeys(EXPRESSIONS, 12)
    (item,) = [item for item in items if "S003_005" in item.path]
    assert (item.group, item.label) == ("S003", "happiness")
    assert faces.picture(item, 16).size == (16, 16)


def test_last_frames_and_the_neutral_first_one(root):
    faces = CkPlus(frames=2, neutral=True)
    items = faces.items(root)
    faces.check_counts(items)
    mine = [(item.path[-6:-4], item.label) for item in items if "S003_005" in item.path]
    assert mine == [("01", "neutral"), ("03", "happiness"), ("04", "happiness")]
    with pytest.raises(DataError, match="252 pictures of 8 classes, published are 84 pictures of 7 classes"):
        CkPlus().check_counts(items)
    with pytest.raises(UsageError, match="frames = 0"):
        CkPlus(frames=0)


@pytest.mark.parametrize("frames", [FRAMES - 1, FRAMES, FRAMES + 1])
def test_no_frame_has_two_labels(root, frames):
    items = CkPlus(frames=frames, neutral=True).items(root)
    mine = [(item.path[-6:-4], item.label) for item in items if "S003_005" in item.path]
    first = "neutral" if frames < FRAMES else "happiness"
    assert mine == [("01", first), ("02", "happiness"), ("03", "happiness"), ("04", "happiness")]


def test_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root.parent, tmp_path / "zip" / "CK+.zip")
    assert CkPlus().items(archive) == CkPlus().items(root) == CkPlus().items(root.parent)


def test_a_label_that_is_none_is_named(root):
    file = root / "Emotion/S001/001/S001_001_00000004_emotion.txt"
    for text in ("8.0000000e+00", "1.5", "happy", ""):
        file.write_text(text)
        with pytest.raises(
            DataError, match=r"S001_001_00000004_emotion\.txt says .*, not a number from 1 to 7"
        ):
            CkPlus().items(root)


def test_nobody_is_on_two_sides_of_the_task(root):
    sides = split_items(CkPlus(frames=3, neutral=True).items(root), load_task("ck-plus").split)
    groups = [{item.group for item in sides[side]} for side in SIDES]
    assert sum(map(len, groups)) == 12 == len(set.union(*groups))


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder with cohn-kanade-images and Emotion"):
        CkPlus().items(tmp_path)
