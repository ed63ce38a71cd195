"""A finished run as a teacher: it is the run that was named, it stands still, and it knows no test class."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmlbench.data.augment import to_input
from dmlbench.errors import DataError, UsageError
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.finished import FinishedNetwork
from dmlbench.run.home import ready
from dmlbench.run.planner import plan

WRONG = "0" * 64


@pytest.fixture
def teacher(project, dmlbench):
    """The folder of a finished run on the tiny task, and its digest."""
    done = dmlbench("run", "contrastive", "--task", "tiny", "--profile", "smoke", "--jobs", "1", "--json")
    assert done.status == 0, done.err
    folder = Path("runs") / json.loads(done.out)[0]["run_key"]
    with pytest.raises(UsageError, match="needs its digest") as caught:
        FinishedNetwork(folder, "")
    return folder, caught.value.way_out.split('"')[1]


def naming(folder, digest):
    return [f"teacher.run={folder}", f"teacher.digest={digest}"]


def distil(dmlbench, changes, *more):
    settings = [word for change in changes for word in ("--set", change)]
    return dmlbench("run", "rkd-da", "--task", "tiny", "--profile", "smoke", "--jobs", "1", "--json",
                    *settings, *more)  # fmt: skip


def test_it_embeds_as_the_run_did(teacher):
    network = FinishedNetwork(*teacher).eval()
    data = ready(network.spec.task, network.spec.track.images)
    scored = load_file(teacher[0] / "embeddings.validation.selected.safetensors")["embeddings"]
    images = to_input(data.images[data.validation.rows], network.spec.track.images, torch.device("cpu"))
    with torch.no_grad():
        # In cpu-fp32, whatever the run's own arithmetic was.
        closeness = (network(images) * scored).sum(dim=1)
    assert closeness.min() > 0.99
    assert network.dimension == scored.shape[1]


def test_a_run_is_told_by_its_key_and_its_weights(teacher):
    folder, digest = teacher
    FinishedNetwork(folder, digest.upper())
    with pytest.raises(DataError, match=digest):
        FinishedNetwork(folder, WRONG)
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps({**spec, "seed": 1}))
    with pytest.raises(DataError, match="not the run that was asked for"):
        FinishedNetwork(folder, digest)


def test_a_run_that_is_not_finished_is_refused(teacher):
    (teacher[0] / "trained.json").unlink()
    with pytest.raises(UsageError, match="no finished run"):
        FinishedNetwork(*teacher)


def test_a_network_whose_source_has_changed_is_refused(teacher):
    folder, _ = teacher
    spec = json.loads((folder / "spec.json").read_text())
    spec["sources"]["backbone"] = f"sha256:{WRONG}"
    (folder / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(UsageError) as caught:
        FinishedNetwork(folder, "")
    with pytest.raises(UsageError, match="source of backbone"):
        FinishedNetwork(folder, caught.value.way_out.split('"')[1])


def test_a_teacher_stands_still_while_its_student_learns(teacher):
    (planned,) = plan(["rkd-da"], task="tiny", profile="smoke", changes=naming(*teacher))
    data = ready(planned.spec.task, planned.spec.track.images)
    trainer = build_trainer(planned.spec, build_recipe(planned.spec, data.train), data)
    network = trainer.recipe.teacher.module
    before = {name: value.clone() for name, value in network.state_dict().items()}
    student = trainer.recipe.model.heads["main"].linear.weight.clone()
    assert any(name.endswith("running_mean") for name in before)
    for _ in range(3):
        trainer.step()
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not torch.equal(trainer.recipe.model.heads["main"].linear.weight, student)


def test_a_smaller_student_runs_and_its_record_names_the_teacher(teacher, dmlbench, project):
    track = (project / "local/tracks/tiny.toml").read_text()
    small = track.replace('id = "tiny"', 'id = "small"').replace("dimension = 16", "dimension = 5")
    (project / "local/tracks/small.toml").write_text(small)
    done = distil(dmlbench, naming(*teacher), "--track", "small")
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    (named,) = [used for used in record["components"] if used["role"] == "teacher"]
    assert named["id"] == "dmlbench:finished-run"
    assert named["settings"]["digest"] == teacher[1]
    assert record["dimension"] == 5
    assert record["metrics"]["map_at_r"] > 0


def test_a_student_without_a_teacher_is_refused_before_any_run(project, dmlbench):
    done = distil(dmlbench, [])
    assert done.status == 2
    assert "no finished run is here" in done.err
    assert not Path("runs").exists()


def test_a_teacher_of_another_split_may_know_test_classes(teacher, dmlbench, project):
    task = (project / "local/tasks/tiny.toml").read_text()
    other = task.replace('id = "tiny"', 'id = "other"').replace("seed = 0", "seed = 1")
    (project / "local/tasks/other.toml").write_text(other)
    done = distil(dmlbench, naming(*teacher), "--task", "other")
    assert done.status == 2
    assert "it may know test classes of other" in done.err


def test_a_teacher_that_sees_other_pixels_is_refused(teacher, dmlbench, project):
    track = (project / "local/tracks/tiny.toml").read_text()
    other = track.replace('id = "tiny"', 'id = "other"').replace("mean = 1.0", "mean = 0.5")
    (project / "local/tracks/other.toml").write_text(other)
    done = distil(dmlbench, naming(*teacher), "--track", "other")
    assert done.status == 2
    assert "sees other pixels" in done.err


def test_a_run_may_be_moved(teacher):
    shutil.move(teacher[0], "teacher")
    FinishedNetwork(Path("teacher"), teacher[1])
