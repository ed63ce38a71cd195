"""The layout as documented, in miniature: nobody has run the reader on the real files here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import bu_3dfe as module
from dmlbench_plugins.datasets.bu_3dfe import Bu3dfe

from dmlbench.api import DataError, UsageError
from dmlbench.data.split import SIDES, split_items
from dmlbench.protocols import load_task

PEOPLE = [*(f"F{n:04}" for n in range(1, 7)), *(f"M{n:04}" for n in range(1, 7))]


@pytest.fixture
def root(tmp_path, photo, written, monkeypatch) -> Path:
    """Twelve people, 25 scans each, and the geometry beside the texture."""
    monkeypatch.setattr(module, "PEOPLE", len(PEOPLE))
    picture = photo(0, (24, 32), "BMP")
    names = [
        "NE00",
        *(f"{code}{level:02}" for code in ("AN", "DI", "FE", "HA", "SA", "SU") for level in range(1, 5)),
    ]
    files = {f"BU_3DFE/{who}/{who}_{name}WH_F3D.bmp": picture for who in PEOPLE for name in names}
    return written(tmp_path, {**files, "BU_3DFE/F0001/F0001_AN01WH_F3D.wrl": "#VRML"})


def test_a_name_says_who_which_expression_and_how_strong(root):
    scans = Bu3dfe()
    items = scans.items(root)
    scans.check_counts(items)
    assert len(items) == 12 * 25
    (item,) = [item for item in items if item.path.endswith("M0002_HA03WH_F3D.bmp")]
    assert (item.group, item.label, item.columns) == ("M0002", "happiness", {"subclass": "happiness 3"})
    assert scans.picture(item, 16).size == (16, 16)
    assert Counter(item.label for item in items)["neutral"] == 12
    assert len({item.columns["subclass"] for item in items}) == 25


def test_weak_expressions_are_left_out_and_neutral_faces_stay(root):
    scans = Bu3dfe(least=3)
    items = scans.items(root)
    scans.check_counts(items)
    assert {item.columns["subclass"][-1] for item in items} == {"0", "3", "4"}
    with pytest.raises(DataError, match="156 pictures of 7 classes, published are 300 pictures"):
        Bu3dfe().check_counts(items)
    with pytest.raises(UsageError, match="least = 5"):
        Bu3dfe(least=5)


def test_the_task_deals_people_into_ten_folds(root):
    sides = split_items(Bu3dfe().items(root), load_task("bu-3dfe").split)
    groups = [{item.group for item in sides[side]} for side in SIDES]
    assert sum(map(len, groups)) == 12 == len(set.union(*groups))


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no pictures like F0001_AN01WH_F3D\.bmp"):
        Bu3dfe().items(tmp_path)
