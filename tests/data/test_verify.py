"""Looking through a store: counts, pictures on two sides, a contact sheet."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dmlbench.data import sheet
from dmlbench.data.prepare import prepare
from dmlbench.data.sheet import write_sheet
from dmlbench.data.store import Prepared
from dmlbench.data.verify import SHOWN, SideCount, listed, verify
from dmlbench.errors import DataError


@pytest.fixture
def make(task, images, folder, tmp_path):
    homes = (tmp_path / f"home{number}" for number in itertools.count())  # a store is not made twice
    return lambda **options: prepare(task, images, folder, folder.root, next(homes), **options)


def test_each_side_is_counted(make):
    found = verify(make())
    assert found.sides == {
        "train": SideCount(18, 6, 3, 3.0, 3),
        "validation": SideCount(9, 3, 3, 3.0, 3),
        "test": SideCount(9, 3, 3, 3.0, 3),
    }
    assert (found.shared, found.shared_first, found.left_out, found.lacks) == (0, [], [], "")


def test_equal_pictures_on_two_sides_are_named(make, folder):
    sides = listed(make())
    first, other, same = (folder.root / sides[side].paths[0] for side in ("train", "test", "train"))
    shutil.copy(first, other)
    shutil.copy(first, same.with_name("again.png"))  # once more on its own side
    found = verify(make())
    assert found.shared == 1
    relative = [str(path.relative_to(folder.root)) for path in (first, other, same.with_name("again.png"))]
    assert found.shared_first == [{"train": sorted([relative[0], relative[2]]), "test": [relative[1]]}]


def test_only_the_first_few_are_named_and_all_are_counted(make, folder):
    sides = listed(make())
    for a, b in zip(sides["train"].paths[: SHOWN + 2], sides["test"].paths, strict=False):
        shutil.copy(folder.root / a, folder.root / b)
    found = verify(make())
    assert (found.shared, len(found.shared_first)) == (SHOWN + 2, SHOWN)


def test_equal_pictures_on_one_side_are_not_told(make, folder):
    paths = listed(make())["train"].paths
    shutil.copy(folder.root / paths[0], folder.root / paths[4])
    assert verify(make()).shared == 0


def test_what_was_left_out_is_told(make, folder):
    broken = sorted(folder.root.glob("*/openmoji.png"))[4]
    broken.write_bytes(b"")
    assert verify(make(allow_partial=True)).left_out == [f"{broken.parent.name}/openmoji.png"]


def test_a_changed_byte_is_found(make):
    data = make()
    with (data.folder / "images.u8").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(DataError, match=r"images\.u8 has changed"):
        verify(data)


@pytest.mark.parametrize("change", ["row", "class"])
def test_labels_that_put_a_picture_or_a_class_on_two_sides_are_found(make, change):
    data = make()
    validation = json.loads((data.folder / "val.json").read_text())
    train = json.loads((data.folder / "train.json").read_text())
    if change == "row":
        validation["rows"][0] = train["rows"][0]
    else:
        validation["classes"][0] = train["classes"][0]
    (data.folder / "val.json").write_text(json.dumps(validation))
    with pytest.raises(DataError, match="the store contradicts itself"):
        verify(Prepared.open(data.folder))
    if change == "class":  # as a split within classes has it
        verify(Prepared.open(data.folder), whole_classes=False)
    else:
        with pytest.raises(DataError, match="the store contradicts itself"):
            verify(Prepared.open(data.folder), whole_classes=False)


def cells(file, rows, columns):
    """The pictures of a sheet."""
    with Image.open(file) as whole:
        pixels = np.asarray(whole)
    head, step = sheet.MARGIN + 2 * sheet.LARGE, sheet.CELL + sheet.GAP
    left = sheet.MARGIN + sheet.TEXT
    return [
        [
            pixels[
                head + r * step : head + r * step + sheet.CELL, left + c * step : left + c * step + sheet.CELL
            ]
            for c in range(columns)
        ]
        for r in range(rows)
    ]


def test_a_row_of_the_sheet_is_a_class_and_shows_what_is_stored(make, tmp_path):
    data = make()
    write_sheet(data, "few", tmp_path / "sheet.png")
    stored = {row.numpy().tobytes(): number for number, row in enumerate(data.images)}
    side_of = {
        row: (side, found.labels[n])
        for side, found in listed(data).items()
        for n, row in enumerate(found.rows)
    }
    seen = []
    for row in cells(tmp_path / "sheet.png", 4 + 3 + 3, 3):
        # Sixteen pixels to 96: each is shown six times; the frame hides the outermost.
        small = [cell[3::6, 3::6] for cell in row]
        numbers = [stored[cell.tobytes()] for cell in small]
        (of,) = {side_of[number] for number in numbers}
        assert len(set(numbers)) == 3
        seen.append(of)
    assert [side for side, _ in seen] == ["train"] * 4 + ["validation"] * 3 + ["test"] * 3
    assert len(set(seen)) == 10


def test_equal_seeds_make_equal_sheets(make, tmp_path):
    data = make()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_sheet(data, "few", tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    "name", ["W" * 200, "word " * 40, "日本語", "Alphabet_of_the_Magi/character12 and more"]
)
def test_any_class_name_fits_its_room(make, tmp_path, name):
    data = make()
    train = json.loads((data.folder / "train.json").read_text())
    train["classes"] = [f"{name} {number}" for number in range(6)]
    (data.folder / "train.json").write_text(json.dumps(train))
    write_sheet(Prepared.open(data.folder), name, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as whole:
        pixels = np.asarray(whole)
    head, room = sheet.MARGIN + 2 * sheet.LARGE, sheet.MARGIN + sheet.TEXT
    assert (pixels[head:, room - sheet.GAP : room] == 255).all()  # nothing is written up to the pictures
    assert (pixels[head : head + sheet.CELL, : room - sheet.GAP] < 255).any()


def test_a_grey_store_has_a_sheet(task, make_pipeline, folder, tmp_path):
    data = prepare(task, make_pipeline(channels=1), folder, folder.root, tmp_path / "home")
    write_sheet(data, "grey", tmp_path / "sheet.png")
    shown = cells(tmp_path / "sheet.png", 1, 1)[0][0]
    assert (shown[..., 0] == shown[..., 1]).all()
