from __future__ import annotations

from pathlib import Path

import pytest
from dmlbench_plugins.datasets import in_shop as module
from dmlbench_plugins.datasets.in_shop import InShop

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture

LINES = [
    "img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg id_00000001 query",
    "img/WOMEN/Blouses_Shirts/id_00000001/02_2_side.jpg id_00000001 gallery",
    "img/MEN/Denim/id_00000080/01_1_front.jpg id_00000080 train",
    "img/MEN/Denim/id_00000080/01_7_additional.jpg id_00000080 train",
]
HEADER = "image_name item_id evaluation_status"


def listed(lines: list[str], header: str = HEADER) -> str:
    return "\n".join([str(len(lines)), header, *lines]) + "\n"


@pytest.fixture
def root(tmp_path, monkeypatch, photo, written) -> Path:
    monkeypatch.setattr(module, "PUBLISHED", {"train": (1, 2), "query": (1, 1), "gallery": (1, 1)})
    photos = {f"Img/{line.split()[0]}": photo(n) for n, line in enumerate(LINES)}
    return written(tmp_path / "data", photos | {"Eval/list_eval_partition.txt": listed(LINES)})


def test_queries_and_gallery_test_and_the_rest_trains(root):
    shop = InShop()
    items = shop.items(root)
    shop.check_counts(items)
    assert [(i.label, i.part, i.columns["role"], i.superclass) for i in items] == [
        ("id_00000080", "train", "", "MEN/Denim"),
        ("id_00000080", "train", "", "MEN/Denim"),
        ("id_00000001", "test", "query", "WOMEN/Blouses_Shirts"),
        ("id_00000001", "test", "gallery", "WOMEN/Blouses_Shirts"),
    ]
    assert items[0].path == "img/MEN/Denim/id_00000080/01_1_front.jpg"
    assert shop.picture(items[0], 20).size == (20, 20)


def test_photos_may_stay_in_their_zip_file_and_lists_lie_anywhere(root, tmp_path, zipped):
    shop = InShop()
    expected = [(item, shop.source(item)) for item in shop.items(root)]
    zipped(root / "Img", root / "Img" / "img.zip")
    (root / "Img" / "img").rename(tmp_path / "away")
    (root / "Eval" / "list_eval_partition.txt").rename(root / "list_eval_partition.txt")
    packed = InShop()
    assert [(item, packed.source(item)) for item in packed.items(root)] == expected


def test_a_missing_photo_is_an_item_that_cannot_be_read(root):
    (root / "Img" / LINES[0].split()[0]).unlink()
    shop = InShop()
    items = shop.items(root)
    shop.check_counts(items)
    with pytest.raises(UnreadablePicture, match=r"02_1_front\.jpg cannot be read"):
        read_picture(shop, items[2], 20, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no folder with list_eval_partition\.txt"),
        ("", "is of another data set"),
        (
            listed(LINES, "image_name evaluation_status"),
            "is of DeepFashion's Category and Attribute Prediction",
        ),
        (
            listed(LINES, "image_pair_name_1 image_pair_name_2 item_id evaluation_status"),
            "is of DeepFashion's Consumer-to-Shop, not of In-Shop",
        ),
        (listed(LINES).replace("4", "5", 1), "says 5 lines, and has 4"),
        (listed([*LINES, "img/x.jpg id_1 val"]), r"names no picture: 'img/x\.jpg id_1 val'"),
    ],
)
def test_what_is_wrong_with_the_list_is_named(root, text, message):
    path = root / "Eval" / "list_eval_partition.txt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=message):
        InShop().items(root)


def test_photos_that_are_not_there_are_missed(root, tmp_path):
    (root / "Img").rename(tmp_path / "away")
    with pytest.raises(DataError, match="no folder with img") as caught:
        InShop().items(root)
    assert "Img/img.zip" in caught.value.way_out


def test_other_counts_than_published_are_refused(root):
    (root / "Eval" / "list_eval_partition.txt").write_text(listed(LINES[1:]))
    shop = InShop()
    items = shop.items(root)
    with pytest.raises(DataError, match="query has 0 pictures of 0 classes, published are 1 pictures"):
        shop.check_counts(items)
