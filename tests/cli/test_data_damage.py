"""Damaged data: file and line are named, nothing half-written is left, and the same command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def empty_home(project, tmp_path, monkeypatch) -> Path:
    """Where prepared data lies, empty."""
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "empty"))
    return tmp_path / "empty" / "data"


@pytest.fixture
def pictures(project, class_folders) -> Path:
    return class_folders(project / "p", 8, 3, names="{}")


def stores(home: Path) -> list[Path]:
    """What is below the folders of prepared data but locks: nothing, when nothing was prepared."""
    return [path for path in home.glob("*/*") if path.name != ".lock" and path.parent.name != "own"]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def text(file: Path) -> None:
    file.write_text("<html>404</html>")


@pytest.mark.parametrize("damage", [cut, empty, text])
@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_a_damaged_picture_is_named_and_nothing_is_left(
    pictures, project, empty_home, dmlbench, kind, damage
):
    files = sorted(pictures.glob("*/*.png"))
    (project / "own.csv").write_text(
        "path,label\n" + "".join(f"{f.relative_to(project)},{f.parent.name}\n" for f in files)
    )
    damage(files[5])
    name, place = {"folder": ("p", str(files[5])), "csv": ("own.csv", f"{project / 'own.csv'}, line 7")}[kind]
    done = dmlbench("data", "prepare", f"{kind}:{name}", "--track", "tiny")
    assert (done.status, done.out) == (2, "")
    assert "1/2.png cannot be read" in done.err
    assert f"in {place}" in done.err
    assert "Traceback" not in done.err
    assert stores(empty_home) == []


@pytest.mark.parametrize("damage", ["cut", "emptied"])
def test_a_damaged_picture_can_be_left_out(pictures, empty_home, dmlbench, damage):
    broken = pictures / "1" / "2.png"
    cut(broken) if damage == "cut" else broken.write_bytes(b"")
    options = ("folder:p", "--track", "tiny", "--allow-partial")
    done = dmlbench("data", "prepare", *options)
    assert (done.status, done.err) == (0, "left out: 1/2.png\n")
    assert "left out: 1/2.png" in dmlbench("data", "verify", *options).out
    assert dmlbench("data", "verify", "folder:p", "--track", "tiny").status == 2
    refused = dmlbench("run", "untrained", "--task", "folder:p", "--track", "tiny", "--profile", "smoke")
    assert refused.status == 2
    assert refused.err.count("1/2.png cannot be read") == 1


def test_a_link_in_a_circle_is_named(pictures, empty_home, dmlbench):
    (pictures / "3" / "round").symlink_to(pictures)
    done = dmlbench("data", "prepare", "folder:p")
    assert done.status == 2
    assert "leads back" in done.err
    assert "3/round" in done.err


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["path,lable", "p/0/0.png,a"], "'lable' is nothing that is read; in {file}, line 1; near label"),
        (["path,kind", "p/0/0.png,a"], "there is no column 'label'; in {file}, line 1"),
        (["path,label,split", "p/0/0.png,a,val", "p/0/1.png,a,bird"],
         "split 'bird' is not train, validation or test; in {file}, line 3"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_csv_file_is_named_with_its_line(pictures, project, empty_home, dmlbench, lines, said):
    (project / "own.csv").write_text("\n".join(lines))
    done = dmlbench("data", "prepare", "csv:own.csv")
    assert done.status == 2
    assert said.format(file=project / "own.csv") in done.err
    assert stores(empty_home) == []


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("the list of files", "images_evaluation.zip is no complete zip file"),
        ("the files", ".png cannot be read: Bad magic number for file header"),
    ],
)
def test_a_cut_zip_file_is_named(pictures, project, empty_home, dmlbench, lost, said):
    for n, name in enumerate(("images_background", "images_evaluation")):
        with zipfile.ZipFile(project / f"{name}.zip", "w") as archive:
            for file in pictures.glob(f"[{n}{n + 2}{n + 4}{n + 6}]/*.png"):
                archive.write(file, f"{name}/{file.parent.name}/character01/{file.name}")
    (project / "local" / "tasks" / "few.toml").write_text(
        'id = "few"\nsummary = ""\ntrack = "tiny"\n'
        'dataset = { component = "dmlbench:omniglot", settings = { check = false } }\n'
        'split = { rule = "official", seed = 0, validation_groups = 2 }\n'
    )
    whole = project / "images_evaluation.zip"
    content = whole.read_bytes()
    if lost == "the files":  # the list stands at the end and says where files begin
        start = content.index(b"PK\x01\x02")
        content = bytes(start) + content[start:]
    whole.write_bytes(content if lost == "the files" else content[:-100])
    done = dmlbench("data", "prepare", "few", "--from", ".")
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert stores(empty_home) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_preparation_is_begun_again_and_ends_in_the_same_bytes(
    project, class_folders, empty_home, tmp_path, dmlbench, spawn, monkeypatch
):
    class_folders(project / "many", 20, 60, size=(60, 60))
    command = ("data", "prepare", "folder:many", "--track", "tiny")
    killed = spawn(*command)
    deadline = time.monotonic() + 60
    while sum(f.stat().st_size for f in empty_home.glob("*/.building/.images*")) < 50_000:
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL
    (building,) = empty_home.glob("*/.building")
    assert [path.name for path in building.parent.iterdir() if path.is_dir()] == [".building"]
    assert not (building / "meta.json").exists()
    assert dmlbench(*command).status == 0
    again = files_of(empty_home)
    assert sorted({Path(name).name for name in again}) == [
        "images.u8", "meta.json", "test-labels.json", "test-order.json", "train.json", "val.json",
    ]  # fmt: skip
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "other"))
    assert dmlbench(*command).status == 0
    assert files_of(tmp_path / "other" / "data") == again


def files_of(home: Path) -> dict[str, bytes]:
    """The files of all stores, by their paths below `home`."""
    files = [path for folder in stores(home) for path in folder.rglob("*")]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in files}


def test_files_that_change_under_the_hand_are_noticed(pictures, empty_home, dmlbench, monkeypatch):
    """Between the fingerprint and the decoding a picture is replaced by another."""
    from dmlbench.data import decoding

    def swap(dataset, item, size, channels, *, whole, read=decoding.read_picture):
        if item.path == "3/1.png":
            shutil.copy(pictures / "0" / "0.png", pictures / "3" / "1.png")
        return read(dataset, item, size, channels, whole=whole)

    monkeypatch.setattr(decoding, "read_picture", swap)
    done = dmlbench("data", "prepare", "folder:p", "--track", "tiny")
    assert done.status == 2
    assert "these are not the pictures of the task" in done.err
    assert stores(empty_home) == []
