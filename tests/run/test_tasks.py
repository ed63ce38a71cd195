"""What a task's name means, and that own data trains, is recorded apart and is found again."""

import json
import shutil

import numpy as np
import pytest

from dmlbench.errors import UsageError
from dmlbench.protocols import is_ranked
from dmlbench.run.tasks import is_own, task_named


@pytest.fixture
def own(project, class_folders, tmp_path, monkeypatch):
    """A project with a home of its own and pictures of ten classes."""
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "home"))
    return class_folders(project / "My Pictures", 10, 4)


def test_the_id_that_own_data_got_is_known_from_then_on(own):
    task = task_named("folder:My Pictures")
    assert task_named(task.id) == task
    assert is_own(task)
    assert not is_own(task_named("emoji"))
    shutil.copy(own / "class 1" / "0.png", own / "class 1" / "9.png")
    with pytest.raises(UsageError, match=r"has changed: it is task 'my-pictures-\w{8}' now"):
        task_named(task.id)


def test_names_below_the_home_hold_no_text_of_the_users(own, tmp_path):
    task_named("folder:My Pictures")
    names = [path.stem for path in (tmp_path / "home" / "data" / "own").iterdir()]
    assert sorted(len(name) for name in names) == [len("my-pictures-") + 8, 24]
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("foldr:x", "near folder"),
        ("folder:", "folder:PATH"),
        ("folder:gone", "nothing is there"),
        ("./My Pictures", "try folder:./My Pictures"),
        ("emojy", "near emoji"),
        ("../../etc/passwd", "no task named"),
    ],
)
def test_a_name_that_means_nothing_is_answered_with_the_way_out(own, name, said):
    with pytest.raises(UsageError) as caught:
        task_named(name)
    assert said in caught.value.one_line()


def test_no_torch_is_loaded_to_show_own_data(own, python):
    done = python(
        """
        import sys
        from dmlbench.cli import main
        try:
            main(["show", "task", "folder:My Pictures"])
        except SystemExit:
            print({"torch"} & set(sys.modules), file=sys.stderr)
        """
    )
    assert json.loads(done.out.partition("\n")[2])["split"]["rule"] == "by-group"
    assert done.err == "set()\n"


@pytest.mark.parametrize("arguments", [["--from", "My Pictures"], ["--download"]])
def test_own_data_says_itself_where_it_is(own, dmlbench, arguments):
    done = dmlbench("data", "prepare", "folder:My Pictures", *arguments)
    assert done.status == 2
    assert "says where its files are" in done.err


def test_own_data_is_prepared_once_under_any_of_its_names(own, dmlbench, tmp_path):
    first = dmlbench("data", "prepare", "folder:My Pictures", "--track", "tiny")
    assert (first.status, first.out.split(":")[0]) == (0, task_named("folder:My Pictures").id)
    again = dmlbench("data", "prepare", task_named("folder:My Pictures").id, "--track", "tiny")
    assert again.out == first.out
    assert dmlbench("data", "verify", f"folder:{own}", "--track", "tiny").status == 0
    (store,) = (tmp_path / "home" / "data" / first.out.split(":")[0]).glob("*/meta.json")
    store.write_text("{")
    said = dmlbench("data", "verify", "folder:My Pictures", "--track", "tiny").err
    assert f"delete the folder, then dmlbench data prepare folder:{own}" in said


@pytest.fixture
def few(project):
    """A track that ten classes are enough for."""
    path = project / "local" / "tracks" / "tiny.toml"
    text = (
        path.read_text()
        .replace("batch_size = 32", "batch_size = 8")
        .replace("per_class = 3", "per_class = 4")
    )
    path.write_text(text)


def options(task):
    return ["--task", task, "--track", "tiny", "--protocol", "local/tiny/v1", "--profile", "smoke", "--json"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "csv", "npz"])
def test_own_data_trains(own, few, dmlbench, project, kind):
    sides = ["train", "train", "train", "train", "val", "val", "test", "test", "test", "test"]
    files = [(f"My Pictures/class {c}/{n}.png", c, side) for c, side in enumerate(sides) for n in range(4)]
    if kind == "csv":
        lines = [f'{path},{c},{side},"0,0,30,{30 - c}"' for path, c, side in files]
        (project / "own.csv").write_text("\n".join(["path,label,split,box", *lines]))
    if kind == "npz":
        images = np.random.default_rng(0).integers(0, 255, (40, 9, 9), dtype=np.uint8)
        labels, split = np.repeat(np.arange(10), 4), np.repeat(sides, 4)
        np.savez(project / "own.npz", images=images, labels=labels, split=split)
    name = {"folder": "folder:My Pictures", "csv": "csv:own.csv", "npz": "npz:own.npz"}[kind]
    done = dmlbench("run", "contrastive", *options(name))
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    assert record["outcome"]["status"] == "ok"
    assert record["task"] == task_named(name).id
    assert str(project) not in done.out
    classes = dict(
        zip(("train", "validation", "test"), (4, 2, 4) if kind != "folder" else (5, 2, 3), strict=True)
    )
    (meta,) = (project / "home" / "data" / record["task"]).glob("*/meta.json")
    counts = json.loads(meta.read_text())["counts"]
    assert {side: count["classes"] for side, count in counts.items()} == classes
    again = dmlbench("run", "contrastive", *options(record["task"]))
    assert json.loads(again.out) == [record]


@pytest.mark.slow
def test_the_same_pictures_elsewhere_are_the_same_run(own, few, dmlbench, project):
    first = dmlbench("run", "untrained", *options("folder:My Pictures"))
    shutil.move(own, project / "moved" / "My Pictures")
    again = dmlbench("run", "untrained", *options("folder:moved/My Pictures"))
    assert json.loads(first.out) == json.loads(again.out)


@pytest.mark.slow
def test_compare_makes_the_run_that_the_other_method_lacks(own, few, dmlbench):
    assert dmlbench("run", "untrained", *options("folder:My Pictures")).status == 0
    done = dmlbench("compare", "untrained", "raw-pixels")
    assert done.status == 0, done.err
    assert dmlbench("compare", "untrained", "raw-pixels", "--task", "folder:My Pictures").out == done.out
    assert dmlbench("compare", "untrained", "raw-pixels", "--task", "emoji").status == 2


def test_records_of_own_data_are_previews_whatever_the_protocol(own, monkeypatch):
    from dmlbench import protocols
    from dmlbench.spec.record import Record

    monkeypatch.setattr(protocols, "frozen_ids", lambda: {"zero-shot/v1", "noisy-label/v1"})
    fields = {
        "run_key": "0" * 32, "run_id": "x", "method": "dmlbench:das", "seed": 0, "profile": "ranked",
        "budget": 1, "scored": "test", "numerics": "cpu-fp32", "outcome": {"status": "ok"},
        "protocol": "zero-shot/v1", "task": "emoji", "track": "emoji-conv4-32px-d128",
    }  # fmt: skip
    (noise, *_) = protocols.load_protocol("noisy-label/v1").noises
    for changes, ranked in (
        ({}, True),
        ({"task": task_named("folder:My Pictures").id}, False),
        ({"task": "tiny"}, False),
        ({"track": "tiny"}, False),
        ({"task": f"emoji-{noise.id}"}, False),
        ({"task": f"emoji-{noise.id}", "protocol": "noisy-label/v1"}, True),
        ({"protocol": "local/tiny/v1"}, False),
    ):
        assert is_ranked(Record(**(fields | changes))) is ranked, changes
