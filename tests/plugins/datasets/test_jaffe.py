"""The layout as documented, in miniature: nobody has run the reader on the real files here."""

from __future__ import annotations

from pathlib import Path

import pytest
from dmlbench_plugins.datasets import jaffe as module
from dmlbench_plugins.datasets.jaffe import Jaffe

from dmlbench.api import DataError
from dmlbench.data.split import SIDES, split_items
from dmlbench.protocols import load_task

CODES = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")


@pytest.fixture
def root(tmp_path, photo, written) -> Path:
    """Ten women, each expression once, and a file that is none."""
    people = [f"{letter}A" for letter in "KMNTUYABCD"]
    files = {
        f"jaffe/{who}.{code}1.{n}.tiff": photo(n, (32, 32), "TIFF", "L")
        for n, (who, code) in enumerate((who, code) for who in people for code in CODES)
    }
    return written(tmp_path / "data", {**files, "jaffe/README": "who.what"})


def test_a_name_says_who_and_which_expression(root, monkeypatch):
    jaffe = Jaffe()
    items = jaffe.items(root)
    assert len(items) == 70
    assert [item.path for item in items] == sorted(item.path for item in items)
    assert [(item.group, item.label) for item in items if "KA.SU" in item.path] == [("KA", "surprise")]
    assert jaffe.picture(items[0], 16).size == (16, 16)
    with pytest.raises(DataError, match="70 pictures of 7 classes, published are 213 pictures of 7 classes"):
        jaffe.check_counts(items)
    monkeypatch.setattr(module, "PUBLISHED", {"": (7, 70)})
    jaffe.check_counts(items)


def test_folder_and_zip_file_are_one(root, tmp_path, zipped):
    archive = zipped(root, tmp_path / "zip" / "jaffe.zip")
    one, other = Jaffe(), Jaffe()
    assert [(i, one.source(i)) for i in one.items(root)] == [
        (i, other.source(i)) for i in other.items(archive)
    ]


def test_the_task_leaves_one_woman_out(root):
    sides = split_items(Jaffe().items(root), load_task("jaffe").split)
    groups = {side: {item.group for item in sides[side]} for side in SIDES}
    assert [len(groups[side]) for side in SIDES] == [8, 1, 1]
    assert len(set.union(*groups.values())) == 10


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no pictures like KA\.AN1\.39\.tiff"):
        Jaffe().items(tmp_path)
