"""Own data as a task: what it is follows from the files' content."""

from __future__ import annotations

import os
import re
import shutil
from decimal import Decimal

import pytest
from dmlbench_plugins.datasets.csv_list import CsvList
from dmlbench_plugins.datasets.folder import Folder

from dmlbench import protocols
from dmlbench.data.own import default_track, own_task, slug
from dmlbench.data.split import split_items
from dmlbench.errors import DataError
from dmlbench.spec.model import ID_PATTERN


@pytest.fixture
def task_of(tmp_path):
    def make(root):
        return own_task("dmlbench:folder", Folder(), root, tmp_path / "known")

    return make


def counts(task, root):
    sides = split_items(Folder().items(root), task.split)
    return tuple(len({item.label for item in items}) for items in sides.values())


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [(6, (3, 2, 1)), (8, (4, 2, 2)), (11, (6, 2, 3)), (13, (7, 2, 4)), (20, (10, 2, 8)), (100, (50, 10, 40))],
)
def test_half_the_classes_train_and_at_least_two_validate(tmp_path, task_of, class_folders, classes, wanted):
    root = class_folders(tmp_path / "r", classes, 2, size=(4, 4))
    if wanted[2] < 2:
        with pytest.raises(
            DataError, match="1 of the classes that test have two pictures or more, it takes 2"
        ):
            task_of(root)
    else:
        assert counts(task_of(root), root) == wanted


def test_a_side_without_two_pictures_of_two_classes_is_named(tmp_path, task_of, class_folders):
    root = class_folders(tmp_path / "r", 12, 1, size=(4, 4))
    with pytest.raises(DataError, match="0 of the classes that train have two pictures") as caught:
        task_of(root)
    assert caught.value.place == f"{root}, 6 classes that train"


def test_where_sides_are_given_and_none_validates_two_classes_do_at_least(tmp_path, task_of, class_folders):
    for side, classes in (("train", 6), ("test", 2)):
        class_folders(tmp_path / "r" / side, classes, 2, names=f"{side} {{}}", size=(4, 4))
    task = task_of(tmp_path / "r")
    assert (task.split.rule, counts(task, tmp_path / "r")) == ("given", (4, 2, 2))
    assert task.split.validation == Decimal("0.3333")


def test_the_id_is_the_name_and_a_digest_of_the_content(tmp_path, task_of, class_folders):
    root = class_folders(tmp_path / "Früchte (neu)", 8, 2)
    task = task_of(root)
    assert re.fullmatch(r"fruchte-neu-[0-9a-f]{8}", task.id)
    assert task.source == str(root)
    shutil.copytree(root, tmp_path / "elsewhere" / "Früchte (neu)")
    assert task_of(tmp_path / "elsewhere" / "Früchte (neu)").id == task.id
    one = next(root.glob("*/1.png"))
    shutil.copy(next(root.glob("*/0.png")), one)
    assert task_of(root).id != task.id


@pytest.mark.parametrize("name", ["", "...", "水果", "-a-", "A" * 200, "../etc", "a\nb", "1"])
def test_any_name_makes_the_beginning_of_an_id(name):
    assert re.fullmatch(ID_PATTERN, f"{slug(name)}-01234567-list-01234567")


def test_files_that_did_not_change_are_not_read_again(tmp_path, task_of, class_folders, monkeypatch):
    root = class_folders(tmp_path / "r", 8, 2)
    first = task_of(root)
    monkeypatch.setattr(Folder, "source", lambda self, item: pytest.fail("read again"))
    assert task_of(root) == first


@pytest.mark.parametrize("change", ["content of the same size and time", "another name", "one more"])
def test_a_change_is_seen(tmp_path, task_of, class_folders, change):
    root = class_folders(tmp_path / "r", 8, 2)
    first = task_of(root).fingerprint
    file = root / "class 3" / "1.png"
    if change == "another name":
        file.rename(file.with_name("2.png"))
    elif change == "one more":
        shutil.copy(file, file.with_name("2.png"))
    else:
        before, content = file.stat(), bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert task_of(root).fingerprint != first


def test_another_label_is_another_task(tmp_path, class_folders):
    class_folders(tmp_path / "p", 8, 2)
    fingerprints = []
    for superclass, label in (("a", "x"), ("b", "x"), ("b", "y")):
        lines = [f"p/class {c}/{n}.png,{label if (c, n) == (0, 0) else 'x'},{c},{superclass}\n" for c in range(8) for n in range(2)]  # fmt: skip  # noqa: E501
        (tmp_path / "a.csv").write_text("path,labels,label,superclass\n" + "".join(lines))
        task = own_task("dmlbench:csv", CsvList(), tmp_path / "a.csv", tmp_path / "known")
        fingerprints.append(task.fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


@pytest.mark.parametrize(("column", "value"), [("role", "query"), ("split", "test")])
def test_what_a_list_says_of_a_picture_is_in_the_id(tmp_path, class_folders, column, value):
    class_folders(tmp_path / "photos", classes=12, each=2)
    lines = [
        ["path", "label", "split", "role"],
        *(
            [
                f"photos/class {number}/{n}.png",
                f"class {number}",
                ("train", "validation", "test")[number % 3],
                "",
            ]
            for number in range(12)
            for n in range(2)
        ),
    ]
    before = lines[1:3]

    def task():
        (tmp_path / "a.csv").write_text("\n".join(",".join(line) for line in lines))
        return own_task("dmlbench:csv", CsvList(), tmp_path / "a.csv", tmp_path / "known")

    first = task()
    assert task().id == first.id
    for line in before:
        line[lines[0].index(column)] = value
    second = task()
    assert second.fingerprint == first.fingerprint
    assert second.id != first.id


def test_a_file_that_cannot_be_read_is_named(tmp_path, class_folders):
    class_folders(tmp_path / "p", 8, 2)
    lines = [f"p/class {c}/{n}.png,{c}\n" for c in range(8) for n in range(2)]
    (tmp_path / "a.csv").write_text("path,label\n" + "".join(lines))
    gone = tmp_path / "p" / "class 2" / "1.png"
    gone.unlink()
    with pytest.raises(DataError, match="No such file") as caught:
        own_task("dmlbench:csv", CsvList(), tmp_path / "a.csv", tmp_path / "known")
    assert caught.value.place == f"{tmp_path / 'a.csv'}, line 7"


def test_an_empty_file_is_named(tmp_path, task_of, class_folders):
    root = class_folders(tmp_path / "r", 8, 2)
    (root / "class 2" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"class 2/1\.png cannot be read: the file is empty") as caught:
        task_of(root)
    assert caught.value.place == str(root / "class 2" / "1.png")
    assert not (tmp_path / "known").exists()


@pytest.mark.parametrize("damage", ["empty", "gone"])
def test_who_allows_a_part_gets_a_task_of_its_own_that_is_not_remembered(tmp_path, class_folders, damage):
    class_folders(tmp_path / "p", 8, 2)
    lines = [f"p/class {c}/{n}.png,{c}\n" for c in range(8) for n in range(2)]
    (tmp_path / "a.csv").write_text("path,label\n" + "".join(lines))
    arguments = ("dmlbench:csv", CsvList(), tmp_path / "a.csv", tmp_path / "known")
    whole = own_task(*arguments)
    broken = tmp_path / "p" / "class 2" / "1.png"
    broken.write_bytes(b"") if damage == "empty" else broken.unlink()
    assert own_task(*arguments, allow_partial=True).id != whole.id
    with pytest.raises(DataError, match="cannot be read"):
        own_task(*arguments)


@pytest.mark.parametrize(
    ("classes", "side", "track"),
    [
        (31, 47.5, "own-conv4-32px-d128-few"),
        (32, 47.5, "own-conv4-32px-d128"),
        (31, 48, "own-lite0-96px-d128-few"),
        (32, 48, "own-lite0-96px-d128"),
    ],
)
def test_the_track_follows_from_the_pictures_size_and_the_number_of_training_classes(classes, side, track):
    assert default_track(classes, side) == track
    chosen = protocols.load_track(track)
    assert chosen.batch_size // chosen.sampler.settings["per_class"] <= (4 if classes < 32 else 32)


def test_the_size_is_that_of_the_pictures(tmp_path, task_of, class_folders):
    assert task_of(class_folders(tmp_path / "s", 8, 2, size=(60, 47))).track == "own-conv4-32px-d128-few"
    assert task_of(class_folders(tmp_path / "l", 8, 2, size=(60, 48))).track == "own-lite0-96px-d128-few"
