"""Runs on known classes of unknown identities: who is on which side, what is scored, what stays hidden."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmlbench.data.store import Prepared
from dmlbench.run.directory import RunDirectory

PROTOCOL = """
id = "local/faces/v1"
status = "draft"
family = "expression"
summary = "Expressions by the nearest class mean, four looks."
form = "classes"
metrics = ["accuracy", "macro_f1", "mean_class_accuracy", "map"]
primary = "accuracy"
ties = "permuted"
tie_seed = 20260101
lone = "excluded"
selection = "validation"
validations = 4
extra_forwards = 1
classes = { hidden = "subclass", seed = 0 }

[profiles]
smoke = { seeds = 1, scores = "validation" }
"""

TASK = """
id = "faces"
summary = "The faces among the emoji."
track = "faces"
protocol = "local/faces/v1"
dataset = { component = "dmlbench:emoji-faces" }
split = { rule = "identities", seed = 0, folds = 3, fold = 0 }
"""


@pytest.fixture
def faces(project):
    """The tiny project with a protocol of classes, a task of faces, and a track for fourteen classes."""
    track = (project / "local" / "tracks" / "tiny.toml").read_text()
    track = track.replace('"tiny"', '"faces"').replace("batch_size = 32", "batch_size = 28")
    track = track.replace("per_class = 3", "per_class = 4")
    for name, text in (("faces/v1", PROTOCOL), ("tasks/faces", TASK), ("tracks/faces", track)):
        path = project / "local" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return project


@pytest.fixture
def run(faces, dmlbench):
    """Issue a run under it; the command's result and its records."""

    def issue(*arguments):
        done = dmlbench("run", *arguments, "--task", "faces", "--profile", "smoke", "--jobs", 1, "--json")
        return done, json.loads(done.out) if done.out else []

    return issue


@pytest.fixture
def data(faces, dmlbench):
    """The task's prepared data."""
    done = dmlbench("data", "prepare", "faces")
    assert done.status == 0, done.err
    return Prepared.open(Path(done.out.rpartition(" in ")[2].strip()))


# ---- scores


def test_an_item_is_of_the_class_whose_training_images_have_the_nearest_mean(data, run):
    done, (record,) = run("contrastive")
    assert done.status == 0, done.err
    directory = RunDirectory(Path("runs") / record["run_key"])
    rows = {
        side: load_file(directory.embeddings(side, "selected"))["embeddings"].double()
        for side in ("train", "validation")
    }
    assert len(rows["train"]) == len(data.train.labels)
    means = torch.stack([rows["train"][data.train.labels == c].mean(dim=0) for c in range(14)])
    chosen = [
        data.train.classes[int((means @ row).div(means.norm(dim=1)).argmax())] for row in rows["validation"]
    ]
    truth = [data.validation.classes[label] for label in data.validation.labels]
    right = [one == other for one, other in zip(chosen, truth, strict=True)]
    assert record["metrics"]["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-15)
    assert record["metrics"]["accuracy"] == max(value for _, value in record["validation"])
    said = json.loads(directory.scores("validation").read_text())["classification"]
    assert sum(map(sum, said["confusion"])) == len(right)
    assert sum(said["confusion"][i][i] for i in range(14)) == sum(right)


def test_training_images_are_embedded_only_where_scores_rest_on_them(project, dmlbench):
    done = dmlbench("run", "contrastive", "--task", "tiny", "--profile", "smoke", "--json")
    (record,) = json.loads(done.out)
    directory = RunDirectory(Path("runs") / record["run_key"])
    assert directory.embeddings("validation", "last").exists()
    assert not directory.embeddings("train", "last").exists()
