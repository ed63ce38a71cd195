from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from dmlbench_plugins.datasets.folder import Folder
from PIL import Image

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture
from dmlbench.data.split import split_items
from dmlbench.spec.task import Split


def test_a_class_is_a_folder_with_pictures_and_what_holds_it_its_superclass(tmp_path, class_folders):
    class_folders(tmp_path / "fruit", classes=2, each=2)
    class_folders(tmp_path, classes=1, each=1, names="leek")
    (tmp_path / "leek" / "notes.txt").write_text("no picture")
    (tmp_path / "leek" / ".hidden.png").write_bytes(b"")
    found = Folder().items(tmp_path)
    assert [(item.path, item.label, item.superclass) for item in found] == [
        ("fruit/class 0/0.png", "fruit/class 0", "fruit"),
        ("fruit/class 0/1.png", "fruit/class 0", "fruit"),
        ("fruit/class 1/0.png", "fruit/class 1", "fruit"),
        ("fruit/class 1/1.png", "fruit/class 1", "fruit"),
        ("leek/0.png", "leek", None),
    ]
    assert all((item.group, item.part) == (item.label, "") for item in found)
    assert found[-1].place == str(tmp_path / "leek" / "0.png")


def test_folders_called_train_and_test_are_sides(tmp_path, class_folders):
    class_folders(tmp_path / "Train", classes=3, each=1, names="a{}")
    class_folders(tmp_path / "val", classes=2, each=1, names="b{}")
    class_folders(tmp_path / "testing", classes=2, each=1, names="c{}")
    sides = split_items(Folder().items(tmp_path), Split(rule="given", seed=0))
    assert {side: [item.label for item in items] for side, items in sides.items()} == {
        "train": ["a0", "a1", "a2"],
        "validation": ["b0", "b1"],
        "test": ["c0", "c1"],
    }


def test_a_class_on_two_sides_is_named_with_both_pictures(tmp_path, class_folders):
    for side in ("train", "test"):
        class_folders(tmp_path / side, classes=2, each=1)
    with pytest.raises(DataError, match=r"class 'class 0' is on two sides: test and train") as caught:
        split_items(Folder().items(tmp_path), Split(rule="given", seed=0, validation="0.2"))
    assert caught.value.place == f"{tmp_path / 'test/class 0/0.png'} and {tmp_path / 'train/class 0/0.png'}"


def test_one_folder_called_train_is_no_side(tmp_path, class_folders):
    class_folders(tmp_path / "train", classes=2, each=1)
    assert {item.label for item in Folder().items(tmp_path)} == {"train/class 0", "train/class 1"}


def test_a_picture_outside_a_class_folder_is_named(tmp_path, class_folders):
    class_folders(tmp_path)
    (tmp_path / "stray.png").write_bytes(b"")
    with pytest.raises(DataError, match="in no class folder") as caught:
        Folder().items(tmp_path)
    assert caught.value.place == str(tmp_path / "stray.png")


def test_links_are_followed(tmp_path, class_folders):
    class_folders(tmp_path / "elsewhere", classes=1)
    class_folders(tmp_path / "root", classes=1)
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere" / "class 0")
    assert {item.label for item in Folder().items(tmp_path / "root")} == {"class 0", "linked"}


@pytest.mark.parametrize(
    ("target", "said"),
    [("..", "leads back to a folder"), ("round", "leads nowhere"), ("gone", "leads nowhere")],
    ids=["to the folder above", "to itself", "to nothing"],
)
def test_a_link_that_has_no_end_is_named(tmp_path, target, said, class_folders):
    root = class_folders(tmp_path / "root")
    (root / "class 3" / "round").symlink_to(target)
    with pytest.raises(DataError, match=said) as caught:
        Folder().items(root)
    assert caught.value.place == str(root / "class 3" / "round")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_is_named(tmp_path, class_folders):
    root = class_folders(tmp_path)
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(DataError, match=r"caf\\xe9' is not UTF-8"):
        Folder().items(root)


@pytest.mark.parametrize("root", ["file", "gone"])
def test_what_is_no_folder_is_refused(tmp_path, root):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="not a folder"):
        Folder().items(tmp_path / root)


def put(tmp_path, image: Image.Image, **options: object) -> tuple[Folder, object]:
    (tmp_path / "a").mkdir(exist_ok=True)
    image.save(tmp_path / "a" / "1.png" if "quality" not in options else tmp_path / "a" / "1.jpg", **options)
    folder = Folder()
    (item,) = folder.items(tmp_path)
    return folder, item


def test_the_central_square_is_seen(tmp_path):
    image = Image.new("RGB", (60, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    folder, item = put(tmp_path, image)
    seen = folder.picture(item, 10)
    assert seen.getpixel((5, 5)) == (0, 0, 255)
    assert min(seen.getchannel("B").tobytes()) > 200  # up to the edges, which blend with what is beside them
    assert folder.side(item) == 20


def test_what_shows_through_is_white(tmp_path):
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    folder, item = put(tmp_path, image)
    assert folder.picture(item, 10).getcolors() == [(100, (255, 255, 255))]


def test_a_palette_with_a_transparent_colour_is_put_on_white(tmp_path):
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 255])
    folder, item = put(tmp_path, image, transparency=0)
    assert folder.picture(item, 10).getcolors() == [(100, (255, 255, 255))]


def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path):
    folder, item = put(tmp_path, Image.new("I;16", (20, 20), 0x80FF))
    assert folder.picture(item, 10).getcolors() == [(100, 0x80)]


def test_a_photo_is_turned_upright(tmp_path):
    image = Image.new("RGB", (40, 40), "red")
    image.paste("blue", (0, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    folder, item = put(tmp_path, image, quality=95, exif=exif)
    red, _, blue = folder.picture(item, 8).getpixel((4, 1))
    assert red > 200
    assert blue < 50


def test_a_large_photo_is_much_the_same_as_if_it_were_decoded_whole(tmp_path):
    field = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(field).resize((1600, 1200), Image.Resampling.BICUBIC)
    folder, item = put(tmp_path, image, quality=95)
    whole = image.crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.LANCZOS)
    differences = [
        abs(a - b) for a, b in zip(folder.picture(item, 32).tobytes(), whole.tobytes(), strict=True)
    ]
    assert max(differences) <= 4


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "cut short"])
def test_a_damaged_file_is_named_with_its_place(tmp_path, content, class_folders):
    root = class_folders(tmp_path, classes=1, each=1)
    file = root / "class 0" / "0.png"
    file.write_bytes(file.read_bytes()[:90] if content is None else content)
    folder = Folder()
    (item,) = folder.items(root)
    with pytest.raises(UnreadablePicture, match=r"class 0/0\.png cannot be read") as caught:
        read_picture(folder, item, 8, 3)
    assert caught.value.place == str(file)
