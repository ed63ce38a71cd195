from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from dmlbench_plugins.datasets import uc_merced
from dmlbench_plugins.datasets.uc_merced import UcMerced
from dmlbench_plugins.datasets.uc_merced_multilabel import UcMercedMultilabel

from dmlbench.api import DataError
from dmlbench.data.pictures import read_picture
from dmlbench.data.split import SIDES, split_items
from dmlbench.protocols import load_task

HEAD = """IMAGE\\LABEL airplane bare-soil buildings cars chaparral court dock field grass mobile-home pavement
sand sea ship tanks trees water"""
LABELS = HEAD.split()[1:]
KNOWN = {
    "agricultural": ("field",),
    "airplane": ("airplane", "cars", "pavement"),
    "harbor": ("dock", "ship", "water"),
}
EACH = 6


def table(**changed: str) -> str:
    """The authors' file: a tab between cells, the pictures' names without `.tif`."""
    lines = ["\t".join(HEAD.split())]
    for land_use in uc_merced.CLASSES:
        for n in range(uc_merced.PER_CLASS):
            name = f"{land_use}{n:02}"
            labels = {*KNOWN.get(land_use, ("trees",)), *(("grass",) if n % 2 else ())}
            has = "\t".join(str(int(label in labels)) for label in LABELS)
            lines.append(changed.get(name, f"{name}\t{has}"))
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(uc_merced, "PER_CLASS", EACH)


@pytest.fixture
def root(tmp_path, photo, written) -> Path:
    """Six pictures of each land use, and the table."""
    files: dict[str, str | bytes] = {
        f"UCMerced_LandUse/Images/{name}/{name}{n:02}.tif": photo(n, (32, 32), "TIFF")
        for name in uc_merced.CLASSES
        for n in range(EACH)
    }
    return written(tmp_path / "data", {**files, "LandUse_Multilabeled.txt": table()})


def test_a_picture_has_the_labels_of_its_line_and_its_land_use_is_its_class(root):
    dataset = UcMercedMultilabel()
    items = dataset.items(root)
    dataset.check_counts(items)
    assert Counter(item.label for item in items) == dict.fromkeys(uc_merced.CLASSES, EACH)
    assert all(item.group == item.path for item in items)
    labels = {item.path: item.labels for item in items}
    assert labels["Images/airplane/airplane00.tif"] == ("airplane", "cars", "pavement")
    assert labels["Images/airplane/airplane03.tif"] == ("airplane", "cars", "grass", "pavement")
    assert labels["Images/agricultural/agricultural02.tif"] == ("field",)


def test_sources_and_pictures_are_those_of_uc_merced(root):
    tags, plain = UcMercedMultilabel(), UcMerced()
    for one, other in zip(tags.items(root), plain.items(root), strict=True):
        assert (one.path, one.label) == (other.path, other.label)
        assert read_picture(tags, one, 16, 3) == read_picture(plain, other, 16, 3)
    assert tags.versions() == plain.versions()


def test_folders_and_zip_files_are_one(root, tmp_path, zipped, written):
    packed = tmp_path / "packed"
    zipped(root / "UCMerced_LandUse", packed / "UCMerced_LandUse.zip")
    text = written(tmp_path / "labels", {"multilabels/LandUse_Multilabeled.txt": table()})
    zipped(text, packed / "multilabels.zip")
    readers = [(UcMercedMultilabel(), place) for place in (root, packed)]
    first, other = [[(item, reader.source(item)) for item in reader.items(at)] for reader, at in readers]
    assert len(first) == 21 * EACH
    assert other == first


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("airplane02\t1\t0", r"line 10 of .* is not a picture and 0 or 1 for each of 17 labels"),
        ("airplane02" + "\t2" * 17, "line 10 of"),
        ("airplane02" + "\t0" * 17, "line 10 of"),
        ("other" + "\t1" * 17, "the table of labels has no line for airplane02"),
    ],
    ids=["short", "no bit", "no label", "another name"],
)
def test_what_is_wrong_with_the_table_is_named(root, line, message):
    (root / "LandUse_Multilabeled.txt").write_bytes(table(airplane02=line).encode())
    with pytest.raises(DataError, match=message):
        UcMercedMultilabel().items(root)


def test_without_a_table_the_way_out_is_named(root):
    (root / "LandUse_Multilabeled.txt").unlink()
    with pytest.raises(DataError, match=r"there is no LandUse_Multilabeled\.txt") as caught:
        UcMercedMultilabel().items(root)
    assert "multilabels.zip" in caught.value.way_out


def test_a_table_of_other_labels_is_told(root):
    more = table().replace("\twater", "\twater\tclouds").replace("\r\n", "\t0\r\n")
    (root / "LandUse_Multilabeled.txt").write_bytes(more.replace("clouds\t0", "clouds").encode())
    dataset = UcMercedMultilabel()
    with pytest.raises(DataError, match="the table has 18 labels, published are 17"):
        dataset.check_counts(dataset.items(root))


def test_seventy_ten_and_twenty_of_each_kind_of_land_use(root, monkeypatch):
    monkeypatch.setattr(uc_merced, "PER_CLASS", 100)
    (root / "LandUse_Multilabeled.txt").write_bytes(table().encode())
    sides = split_items(UcMercedMultilabel().items(root), load_task("uc-merced-multilabel").split)
    assert [len(sides[side]) for side in SIDES] == [1470, 210, 420]
    for side, each in zip(SIDES, (70, 10, 20), strict=True):
        assert set(Counter(item.label for item in sides[side]).values()) == {each}
