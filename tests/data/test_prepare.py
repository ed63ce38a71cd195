from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from dmlbench_plugins.datasets.omniglot import Omniglot
from PIL import Image

from dmlbench.data import build
from dmlbench.data.prepare import prepare
from dmlbench.data.store import STORE_FORMAT
from dmlbench.errors import ContractError, DataError
from dmlbench.spec.task import Split


def names(home: Path) -> list[str]:
    """What is below `home`, the lock left out."""
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.name != ".lock")


def test_each_picture_lies_where_its_row_says(task, images, folder, tmp_path):
    store = prepare(task, images, folder, folder.root, tmp_path / "home")
    items = {item.path: item for item in folder.items(None)}
    assert list(store.images.shape) == [36, 16, 16, 3]
    found = store.test_labels()
    for row, path, label in zip(store.test_rows, found.paths, found.labels, strict=True):
        assert store.images[row].numpy().tobytes() == folder.picture(items[path], 16).tobytes()
        assert found.classes[label] == items[path].label
    for part in (store.train, store.validation):
        for row, label, hand in zip(part.rows, part.labels, part.columns["domain"], strict=True):
            item = items[f"{part.classes[label]}/{hand}.png"]
            assert store.images[row].numpy().tobytes() == folder.picture(item, 16).tobytes()


def test_sides_share_no_row_and_no_class(task, images, folder, tmp_path):
    store = prepare(task, images, folder, folder.root, tmp_path / "home")
    rows = [*store.train.rows.tolist(), *store.validation.rows.tolist(), *store.test_rows.tolist()]
    assert sorted(rows) == list(range(36))
    classes = [store.train.classes, store.validation.classes, store.test_labels().classes]
    assert [len(c) for c in classes] == [6, 3, 3]
    assert len(set().union(*classes)) == 12


def test_what_a_worker_gets_names_no_test_class(task, images, folder, tmp_path):
    store = prepare(task, images, folder, folder.root, tmp_path / "home")
    told = "".join(p.read_text() for p in store.folder.glob("*.json") if p.name != "test-labels.json")
    assert not [name for name in store.test_labels().classes if name in told]
    order = json.loads((store.folder / "test-order.json").read_text())
    assert order.keys() == {"rows", "domain"}
    assert order["domain"] == store.test_labels().columns["domain"] == store.test_domain
    labels = store.test_labels().labels.tolist()
    assert labels not in (sorted(labels), sorted(labels, reverse=True))


def test_one_channel_is_grey(task, make_pipeline, folder, tmp_path):
    store = prepare(task, make_pipeline(channels=1), folder, folder.root, tmp_path / "home")
    assert list(store.images.shape) == [36, 16, 16, 1]


def test_a_second_call_reads_nothing(task, images, folder, tmp_path, monkeypatch):
    first = prepare(task, images, folder, folder.root, tmp_path / "home")
    monkeypatch.setattr(folder, "source", lambda item: pytest.fail("the source was read again"))
    assert prepare(task, images, folder, folder.root, tmp_path / "home").folder == first.folder


def test_a_store_that_was_made_before_items_said_more_is_made_again(
    task, images, folder, tmp_path, monkeypatch
):
    with monkeypatch.context() as earlier:
        earlier.setattr("dmlbench.data.prepare.STORE_FORMAT", STORE_FORMAT - 1)
        earlier.setattr("dmlbench.data.store.STORE_FORMAT", STORE_FORMAT - 1)
        before = prepare(task, images, folder, folder.root, tmp_path / "home")
    monkeypatch.setattr(type(folder), "needs_root", True)
    now = prepare(task, images, folder, None, tmp_path / "home")
    assert now.folder != before.folder
    assert (before.meta["format"], now.meta["format"]) == (STORE_FORMAT - 1, STORE_FORMAT)


def test_own_data_that_grew_is_prepared_again(task, images, folder, tmp_path):
    before = prepare(task, images, folder, folder.root, tmp_path / "home")
    one = next(folder.root.glob("*/noto.png"))
    one.with_name("zz.png").write_bytes(one.read_bytes())
    after = prepare(task, images, folder, folder.root, tmp_path / "home")
    assert (len(before.images), len(after.images)) == (36, 37)


def test_an_official_set_serves_without_its_source(task, images, folder, tmp_path, monkeypatch):
    found = prepare(task, images, folder, folder.root, tmp_path / "home").fingerprint
    frozen = task.model_copy(update={"fingerprint": found})
    first = prepare(frozen, images, folder, folder.root, tmp_path / "home")
    monkeypatch.setattr(folder, "items", lambda root: pytest.fail("the source was listed again"))
    assert prepare(frozen, images, folder, None, tmp_path / "home").folder == first.folder


def test_own_data_in_files_is_found_again_without_its_source(task, images, folder, tmp_path):
    before = prepare(task, images, folder, folder.root, tmp_path / "home")
    assert prepare(task, images, folder, None, tmp_path / "home").folder == before.folder
    one = next(folder.root.glob("*/noto.png"))
    one.with_name("zz.png").write_bytes(one.read_bytes())
    after = prepare(task, images, folder, folder.root, tmp_path / "home")
    assert prepare(task, images, folder, None, tmp_path / "home").folder == after.folder
    one.with_name("zz.png").unlink()
    prepare(task, images, folder, folder.root, tmp_path / "home")
    assert prepare(task, images, folder, None, tmp_path / "home").folder == before.folder


def test_a_partial_copy_is_not_what_is_found_again(task, images, folder, tmp_path, monkeypatch):
    sorted(folder.root.glob("*/openmoji.png"))[4].write_bytes(b"")
    prepare(task, images, folder, folder.root, tmp_path / "home", allow_partial=True)
    monkeypatch.setattr(folder, "items", lambda root: pytest.fail("listed") if root else [])
    with pytest.raises(DataError, match="only a part of the data set"):
        prepare(task, images, folder, None, tmp_path / "home")


def test_counts_that_are_not_the_published_ones_are_refused_or_kept_apart(
    task, images, folder, tmp_path, monkeypatch
):
    def check_counts(items):
        if len(items) < 36:
            raise DataError(f"{len(items)} pictures, published are 36")

    monkeypatch.setattr(folder, "check_counts", check_counts, raising=False)
    whole = prepare(task, images, folder, folder.root, tmp_path / "home", allow_partial=True)
    assert whole.lacks == ""
    assert prepare(task, images, folder, folder.root, tmp_path / "home").folder == whole.folder
    next(folder.root.glob("*/noto.png")).unlink()
    with pytest.raises(DataError, match="35 pictures, published are 36"):
        prepare(task, images, folder, folder.root, tmp_path / "home")
    frozen = task.model_copy(update={"fingerprint": whole.fingerprint})
    for one in (task, frozen):
        part = prepare(one, images, folder, folder.root, tmp_path / "home", allow_partial=True)
        assert (part.lacks, len(part.images)) == ("35 pictures, published are 36", 35)
        with pytest.raises(DataError, match="35 pictures, published are 36"):
            prepare(one, images, folder, folder.root, tmp_path / "home")
    elsewhere = tmp_path / "elsewhere"
    prepare(task, images, folder, folder.root, elsewhere, allow_partial=True)
    with pytest.raises(DataError, match="runs take complete data: 35 pictures, published are 36"):
        prepare(task, images, folder, None, elsewhere)
    assert prepare(task, images, folder, None, tmp_path / "home").folder == whole.folder


def test_the_fingerprint_depends_on_bytes_paths_and_labels_only(task, make_pipeline, folder, tmp_path):
    first = prepare(task, make_pipeline(size=16), folder, folder.root, tmp_path / "home")
    other = prepare(task, make_pipeline(size=8), folder, folder.root, tmp_path / "home")
    assert first.folder != other.folder
    assert first.fingerprint == other.fingerprint
    picture = next(folder.root.glob("*/noto.png"))
    Image.new("L", (24, 24)).save(picture)
    assert (
        prepare(task, make_pipeline(), folder, folder.root, tmp_path / "new").fingerprint != first.fingerprint
    )


def test_other_pictures_than_the_task_names_are_refused(task, images, folder, tmp_path):
    frozen = task.model_copy(update={"fingerprint": "sha256:" + "0" * 64})
    with pytest.raises(
        DataError, match=r"not the pictures of the task: fingerprint sha256:\w+, expected sha256:000"
    ):
        prepare(frozen, images, folder, folder.root, tmp_path / "home")
    assert names(tmp_path / "home") == ["few-emoji"]
    store = prepare(frozen, images, folder, folder.root, tmp_path / "home", check=False)
    assert len(store.images) == 36
    with pytest.raises(DataError, match="not the pictures of the task"):
        prepare(frozen, images, folder, folder.root, tmp_path / "home")


def test_the_right_pictures_pass(task, images, folder, tmp_path):
    found = prepare(task, images, folder, folder.root, tmp_path / "home").fingerprint
    frozen = task.model_copy(update={"fingerprint": found})
    assert prepare(frozen, images, folder, folder.root, tmp_path / "home").fingerprint == found


@pytest.mark.parametrize("damage", [b"", b"no picture at all", None], ids=["empty", "text", "cut short"])
def test_a_corrupt_picture_is_named_with_a_way_out(task, images, folder, tmp_path, damage):
    broken = sorted(folder.root.glob("*/openmoji.png"))[4]
    broken.write_bytes(broken.read_bytes()[:200] if damage is None else damage)
    with pytest.raises(DataError) as caught:
        prepare(task, images, folder, folder.root, tmp_path / "home")
    assert caught.value.message.startswith(f"{broken.parent.name}/openmoji.png cannot be read")
    assert "--allow-partial" in caught.value.way_out
    assert names(tmp_path / "home") == ["few-emoji"]


def test_a_partial_store_lists_what_it_lacks_and_serves_only_those_who_allow_it(
    task, images, folder, tmp_path
):
    broken = sorted(folder.root.glob("*/openmoji.png"))[4]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    store = prepare(task, images, folder, folder.root, tmp_path / "home", allow_partial=True)
    assert store.left_out == [f"{broken.parent.name}/openmoji.png"]
    assert store.fingerprint.startswith("partial:sha256:")
    assert len(store.images) == 35
    assert sum(side["items"] for side in store.meta["counts"].values()) == 35
    store.verify()
    with pytest.raises(DataError, match="cannot be read"):
        prepare(task, images, folder, folder.root, tmp_path / "home")
    broken.write_bytes(whole)
    assert prepare(task, images, folder, folder.root, tmp_path / "home").left_out == []


def test_who_asks_for_data_without_a_place_is_told_that_a_part_is_there(task, images, folder, tmp_path):
    wanted = task.model_copy(update={"fingerprint": "sha256:" + "0" * 64})
    broken = sorted(folder.root.glob("*/openmoji.png"))[4]
    broken.write_bytes(b"")
    part = prepare(wanted, images, folder, folder.root, tmp_path / "home", allow_partial=True)
    with pytest.raises(DataError, match="only a part of the data set is prepared here") as caught:
        prepare(wanted, images, folder, None, tmp_path / "home")
    assert f"{broken.parent.name}/openmoji.png was left out, 1 in all" in caught.value.message
    assert caught.value.place == str(part.folder)
    assert caught.value.way_out == "dmlbench data prepare few-emoji --from the whole of it"


def test_a_store_that_lost_its_meta_data_is_made_anew(task, images, folder, tmp_path):
    store = prepare(task, images, folder, folder.root, tmp_path / "home")
    (store.folder / "meta.json").unlink()
    prepare(task, images, folder, folder.root, tmp_path / "home").verify()


def test_progress_counts_every_picture(task, images, folder, tmp_path):
    calls = []
    prepare(task, images, folder, folder.root, tmp_path / "home", progress=lambda *at: calls.append(at))
    assert calls == [(done, 36) for done in range(1, 37)]


def test_a_full_disk_is_said_and_leaves_nothing(task, images, folder, tmp_path, monkeypatch):
    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(build, "write_json", full)
    with pytest.raises(DataError, match="cannot write the prepared data: No space left on device") as caught:
        prepare(task, images, folder, folder.root, tmp_path / "home")
    assert "make room" in caught.value.way_out
    assert names(tmp_path / "home") == ["few-emoji"]
    monkeypatch.undo()
    prepare(task, images, folder, folder.root, tmp_path / "home").verify()


def test_a_write_that_the_system_refuses_midway_leaves_nothing(task, images, folder, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # images.u8 has 27,648 bytes
    try:
        with pytest.raises(DataError, match="cannot write the prepared data: File too large"):
            prepare(task, images, folder, folder.root, tmp_path / "home")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path / "home") == ["few-emoji"]


def test_two_items_of_one_name_are_refused(task, images, folder, tmp_path, monkeypatch):
    items = folder.items(None)
    monkeypatch.setattr(folder, "items", lambda root: [*items, items[0]])
    with pytest.raises(DataError, match=f"two items are called {re.escape(items[0].path)}"):
        prepare(task, images, folder, folder.root, tmp_path / "home")


def test_a_plugin_that_ignores_the_size_breaks_the_contract(task, images, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "picture", lambda item, size: Image.new("RGB", (24, 24)))
    with pytest.raises(ContractError, match="24 x 24 pixels of mode RGB; asked for 16 x 16"):
        prepare(task, images, folder, folder.root, tmp_path / "home")


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import torch
from dmlbench.data.prepare import prepare
from dmlbench.errors import DataError
from dmlbench.spec.component import Component
from dmlbench.spec.task import Split, Task
from dmlbench.spec.track import ImagePipeline
from dmlbench_plugins.datasets.omniglot import Omniglot

torch.set_num_threads(1)
root, home = map(Path, sys.argv[1:3])
split = Split(rule="official", seed=0, validation_groups=2)
task = Task(id="few", summary="", dataset=Component(component="omniglot"), split=split, track="t")
augmentation = dict(rotation_degrees=0, scale=(1, 1), shift=0, flip=0, brightness=0, contrast=0, saturation=0)
images = ImagePipeline(size=16, channels=1, mean=0.5, std=0.25, augmentation=augmentation)
def progress(done, total):
    {progress}

print(prepare(task, images, Omniglot(check=False), root, home, progress=progress).meta["pixels"])
"""


@pytest.fixture
def archives(drawings, tmp_path) -> Path:
    """Drawings in Omniglot's layout: a script's own process needs a data set that can be imported."""
    root = tmp_path / "archives"
    root.mkdir()
    for n, name in enumerate(("images_background", "images_evaluation")):
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            for path, picture in list(drawings.items())[n::2]:
                character, drawer = path.split("/")
                with archive.open(f"{name}/{character}/character01/{drawer}.png", "w") as file:
                    picture.convert("L").save(file, "PNG")
    return root


def script(archives: Path, home: Path, *, progress: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(SCRIPT).format(progress=progress)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(archives), str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_of_two_processes_one_builds_and_both_get_the_same(archives, tmp_path):
    slow = "print('built') if done == 1 else time.sleep(0.02)"
    both = [script(archives, tmp_path / "home", progress=slow) for _ in range(2)]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    lines = [out.split() for out, _ in told]
    assert sum("built" in words for words in lines) == 1
    assert lines[0][-1] == lines[1][-1]


def test_a_killed_build_is_begun_again(task, images, archives, tmp_path):
    home = tmp_path / "home"
    killed = script(archives, home, progress="os.kill(os.getpid(), signal.SIGKILL) if done == 5 else None")
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert [path.name for path in (home / "few").iterdir() if path.name == ".building"]
    split = Split(rule="official", seed=0, validation_groups=2)
    again = task.model_copy(update={"id": "few", "split": split})
    prepare(again, images, Omniglot(check=False), archives, home).verify()
    assert len(list((home / "few").iterdir())) == 3  # the store, the lock, and which store is the latest
