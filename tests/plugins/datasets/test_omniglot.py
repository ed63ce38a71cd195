from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets.omniglot import DRAWERS, Omniglot

import dmlbench
from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture
from dmlbench.data.split import split_items
from dmlbench.spec.task import Split, Task
from dmlbench.spec.toml import load_spec

TASK = load_spec(Task, Path(dmlbench.__file__).parent / "protocols" / "tasks" / "omniglot.toml")
NAMES = ("images_background", "images_evaluation")


@pytest.fixture(scope="module")
def official() -> Path:
    given = os.environ.get("DMLBENCH_TEST_DATA")
    if not given:
        pytest.skip("DMLBENCH_TEST_DATA does not name a folder with omniglot/images_background.zip")
    root = Path(given) / "omniglot"
    if not (root / "images_background.zip").is_file():
        pytest.skip(f"no images_background.zip in {root}")
    return root


@pytest.fixture
def few(official, tmp_path) -> Path:
    """Two alphabets of each archive, three characters an alphabet, all 20 drawings."""
    root = tmp_path / "few"
    root.mkdir()
    for name in NAMES:
        with (
            zipfile.ZipFile(official / f"{name}.zip") as whole,
            zipfile.ZipFile(root / f"{name}.zip", "w") as part,
        ):
            pictures = [p for p in whole.namelist() if p.endswith(".png")]
            alphabets = sorted({p.split("/")[1] for p in pictures})[:2]
            for path in pictures:
                _, alphabet, character, _ = path.split("/")
                if alphabet in alphabets and character <= "character03":
                    part.writestr(path, whole.read(path))
            part.writestr(f"__MACOSX/{name}/._x.png", b"")
    return root


def test_the_official_archives_have_1623_characters(official):
    items = Omniglot().items(official)
    assert Counter(item.part for item in items) == {"train": 19280, "test": 13180}
    assert len({item.label for item in items}) == 1623
    assert len({item.group for item in items}) == 50
    sides = split_items(items, TASK.split)
    assert len({item.group for item in sides["validation"]}) == 6
    assert [len(side) for side in sides.values()] == [15980, 3300, 13180]


def test_a_part_is_refused_by_its_count_unless_unchecked(few):
    with pytest.raises(DataError, match="images_background has 6 characters, published are 964") as caught:
        Omniglot().items(few)
    assert "check = false" in caught.value.way_out
    items = Omniglot(check=False).items(few)
    assert len(items) == 240
    assert [item.path for item in items] == sorted(item.path for item in items)
    assert items[0].label == "Alphabet_of_the_Magi/character01"
    assert items[0].group == "Alphabet_of_the_Magi"
    assert items[0].path.endswith("_01.png")
    assert items[0].columns == {"drawer": "01"}
    drawers = Counter((item.label, item.columns["drawer"]) for item in items)
    assert set(drawers.values()) == {1}
    assert len({drawer for _, drawer in drawers}) == DRAWERS


def test_folders_and_archives_give_the_same_items_and_bytes(few, tmp_path):
    for name in NAMES:
        with zipfile.ZipFile(few / f"{name}.zip") as archive:
            archive.extractall(tmp_path / "unpacked")
    packed, unpacked = Omniglot(check=False), Omniglot(check=False)
    items = packed.items(few)
    assert unpacked.items(tmp_path / "unpacked") == items
    assert all(packed.source(item) == unpacked.source(item) for item in items[::17])


def test_pictures_are_dark_ink_on_white(few):
    omniglot = Omniglot(check=False)
    for item in omniglot.items(few)[::30]:
        picture = omniglot.picture(item, 28)
        assert (picture.mode, picture.size) == ("L", (28, 28))
        levels = np.asarray(picture)
        assert np.median(levels) > 250
        assert levels.min() < 120


def test_a_split_by_alphabet_keeps_the_evaluation_set_for_testing(few):
    items = Omniglot(check=False).items(few)
    sides = split_items(items, Split(rule="official", seed=0, validation_groups=1))
    assert [len(side) for side in sides.values()] == [60, 60, 120]
    assert all(item.path.startswith("images_evaluation/") for item in sides["test"])


@pytest.mark.parametrize("how", ["zip", "folder"])
def test_a_corrupt_picture_is_named(few, how):
    path = "images_background/Alphabet_of_the_Magi/character02/0710_05.png"
    if how == "zip":
        data = bytearray((few / "images_background.zip").read_bytes())
        with zipfile.ZipFile(few / "images_background.zip") as archive:
            start = archive.getinfo(path).header_offset + 30 + len(path)
        data[start + 60 : start + 90] = bytes(30)
        (few / "images_background.zip").write_bytes(data)
    else:
        with zipfile.ZipFile(few / "images_background.zip") as archive:
            archive.extractall(few)
        (few / path).write_bytes((few / path).read_bytes()[:70])
    omniglot = Omniglot(check=False)
    item = next(item for item in omniglot.items(few) if item.path == path)
    with pytest.raises(UnreadablePicture, match=r"character02/0710_05\.png cannot be read") as caught:
        read_picture(omniglot, item, 28, 1)
    assert "replace the file" in caught.value.way_out


def test_a_missing_archive_is_named(few):
    (few / "images_evaluation.zip").unlink()
    with pytest.raises(
        DataError, match=r"neither images_evaluation\.zip nor images_evaluation/ is there"
    ) as caught:
        Omniglot(check=False).items(few)
    assert "--download" in caught.value.way_out


def test_a_cut_archive_is_named(few):
    whole = (few / "images_background.zip").read_bytes()
    (few / "images_background.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"images_background\.zip is no complete zip file"):
        Omniglot(check=False).items(few)


def test_no_root_is_an_error_with_a_way_out():
    with pytest.raises(DataError, match="needs the folder") as caught:
        Omniglot().items(None)
    assert "--from" in caught.value.way_out
