"""Runs on known classes of unknown identities: who is on which side, what is scored, what stays hidden."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from dmlbench.data.store import TEST_LABELS, TRAIN, VALIDATION
from dmlbench.errors import ContractError, DataError, MissingPackageError, SpecError, UsageError
from dmlbench.protocols import load_protocol, load_task
from dmlbench.results import classes as class_files
from dmlbench.run.assemble import build_recipe
from dmlbench.run.directory import RunDirectory
from dmlbench.run.embedding import embed
from dmlbench.run.hidden_scores import hidden_scores
from dmlbench.run.known import Known
from dmlbench.run.labelling import label, told
from dmlbench.run.measuring import measured
from dmlbench.run.planner import plan
from dmlbench.run.training import train
from dmlbench.score.names import METRICS
from dmlbench.score.subclasses import purity
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.toml import build_spec, parse_toml
from dmlbench.train.names import NAMES

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

TEACHING = {"teacher": "contrastive", "rules": "zero-shot/v1", "seed": 0, "plain": "contrastive"}
CLUSTERS = {"every": 4, "iterations": 20}
TASK = """
id = "faces"
summary = "The faces among the emoji."
track = "faces"
protocol = "local/faces/v1"
dataset = { component = "dmlbench:emoji-faces" }
split = { rule = "identities", seed = 0, folds = 3, fold = 0 }
"""

HALVES = '''
"""Puts the images of each class into two sub-classes, by turns."""
import torch
from torch import nn


class Halves(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.max_classes = 2 * num_classes

    def relabel(self, epoch, train_labels):
        if epoch:
            return None
        turn = torch.zeros_like(train_labels)
        for label in train_labels.unique():
            members = (train_labels == label).nonzero().flatten()
            turn[members] = torch.arange(len(members)) % 2
        return 2 * train_labels + turn

    def forward(self, embeddings, labels):
        return embeddings.var(dim=0).sum() + 0 * labels.sum()
'''


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
def run(faces, issuing):
    """Issue a run under it; the command's result and its records."""
    return issuing("--task", "faces")


@pytest.fixture
def data(faces, prepared):
    """The task's prepared data."""
    return prepared("faces")


def planned(name="contrastive"):
    return plan([name], task="faces", profile="smoke")[0].spec


def known_of(data, generator, found=None):
    """Training images with random embeddings."""
    return Known(data.train, torch.randn(len(data.train.labels), 6, generator=generator), found)


# ---- the rules


def test_the_protocol_puts_items_into_classes_and_shows_nobody_what_is_hidden():
    rules = load_protocol("expression/v1")
    assert (rules.form, rules.family, rules.primary) == ("classes", "expression", "accuracy")
    assert (rules.columns, rules.noises, rules.labels) == ((), (), "one")
    assert rules.classes.hidden == "subclass"
    assert rules.against_training
    assert load_task(rules.task).protocol == rules.id
    assert load_protocol("zero-shot/v1").classes is None
    assert not load_protocol("zero-shot/v1").against_training


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": None}, "the form 'classes' needs `classes`"),
        ({"form": "self"}, "the form 'self' has no `classes`"),
        ({"tie_seed": None}, "the form 'classes' needs `tie_seed`"),
        ({"columns": ["subclass"]}, "'subclass' is hidden"),
        ({"labels": "several"}, "an item is put into one class"),
        ({"noises": [{"id": "x", "rule": "symmetric", "rate": 0.1}]}, "class means are of true classes"),
        ({"distillation": TEACHING}, "the form 'classes' needs more"),
        ({"pseudo_labels": CLUSTERS, "selection": "last"}, "the form 'classes' needs true classes"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(change, said):
    rules = {**parse_toml(PROTOCOL, place="rules"), **change}
    rules = {name: value for name, value in rules.items() if value is not None}
    with pytest.raises(SpecError, match=said):
        build_spec(Protocol, rules, place="rules")


@pytest.mark.parametrize("task", ["emoji", "grocery-tags"])
def test_a_task_that_does_not_split_identities_is_refused(task):
    with pytest.raises(UsageError, match=f"task {task} does not split identities"):
        plan(["contrastive"], protocol="expression/v1", task=task, profile="smoke")


@pytest.mark.parametrize("protocol", ["zero-shot/v1", "verification/v1"])
def test_a_protocol_of_classes_never_seen_refuses_known_classes(protocol):
    with pytest.raises(UsageError, match="is about classes never seen"):
        plan(["contrastive"], protocol=protocol, task="emoji-faces", profile="smoke")


def test_a_method_without_class_means_is_refused_before_any_run():
    with pytest.raises(UsageError, match="knows no class means"):
        plan(["hier"], protocol="expression/v1", task="emoji-faces", profile="smoke")


def test_a_machine_without_faiss_hears_of_it_before_any_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match="faiss is not installed"):
        plan(["contrastive"], protocol="expression/v1", task="emoji-faces", profile="smoke")


# ---- who is where


def test_no_hand_is_on_two_sides_and_every_expression_is_on_all(data):
    sides = [data.train, data.validation, data.test_labels()]
    hands = [set(side.columns["domain"]) for side in sides]
    assert [len(own) for own in hands] == [1, 1, 1]
    assert len(set.union(*hands)) == 3
    assert len({side.classes for side in sides}) == 1
    assert len(data.train.classes) == 14


def test_the_three_tasks_rotate_the_hands_of_one_deal():
    tasks = [load_task(name) for name in ("emoji-faces", "emoji-faces-fold-1", "emoji-faces-fold-2")]
    assert [task.split.fold for task in tasks] == [0, 1, 2]
    assert len({task.fingerprint for task in tasks}) == 1
    assert len({(task.split.seed, task.split.folds, task.track, task.protocol) for task in tasks}) == 1


def test_a_class_that_never_trained_has_no_mean_and_is_named(data):
    part = dataclasses.replace(data.validation, classes=(*data.validation.classes[:-1], "face-unseen"))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(len(part.labels), 6, generator=generator)
    with pytest.raises(DataError, match="class 'face-unseen' has no training image"):
        measured(planned(), "validation", part, rows, ["accuracy"], known_of(data, generator))


# ---- scores


def test_an_item_is_of_the_class_whose_training_images_have_the_nearest_mean(data, run):
    done, (record,) = run("contrastive")
    assert done.status == 0, done.err
    directory = RunDirectory(Path("runs") / record["run_key"])
    rows = {
        side: load_file(directory.embeddings(side, "selected"))["embeddings"].double().numpy()
        for side in ("train", "validation")
    }
    trained, side = data.train, data.validation
    labels, truth = trained.labels.numpy(), [side.classes[label] for label in side.labels]
    means = np.stack([rows["train"][labels == c].mean(axis=0) for c in range(14)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    chosen = [trained.classes[int((means @ row).argmax())] for row in rows["validation"]]
    expected = {
        "accuracy": accuracy_score(truth, chosen),
        "macro_f1": f1_score(truth, chosen, average="macro", labels=trained.classes, zero_division=0),
        "mean_class_accuracy": balanced_accuracy_score(truth, chosen),
    }
    for name, value in expected.items():
        assert record["metrics"][name] == pytest.approx(value, abs=1e-12)
    assert record["metrics"]["accuracy"] == max(value for _, value in record["validation"])
    assert (record["queries"], record["lone_queries"]) == (129, 0)
    said = json.loads(directory.scores("validation").read_text())["classification"]
    assert said["confusion"] == confusion_matrix(truth, chosen, labels=trained.classes).tolist()
    sums = class_files.read(directory.classes("validation"))
    assert sum(sums.sums["accuracy"]) == pytest.approx(129 * expected["accuracy"])
    assert sum(sums.counts) == 129


def test_training_images_are_embedded_only_where_scores_rest_on_them(project, dmlbench):
    done = dmlbench("run", "contrastive", "--task", "tiny", "--profile", "smoke", "--json")
    (record,) = json.loads(done.out)
    directory = RunDirectory(Path("runs") / record["run_key"])
    assert directory.embeddings("validation", "last").exists()
    assert not directory.embeddings("train", "last").exists()


def test_a_side_numbered_otherwise_scores_the_same(data):
    """Classes are matched by name: the side may lack some, and number the rest anew."""
    generator = torch.Generator().manual_seed(1)
    known = known_of(data, generator)
    side = data.validation
    kept = side.labels >= 5
    rows = torch.randn(len(side.labels), 6, generator=generator)[kept]
    part = dataclasses.replace(side, labels=side.labels[kept] - 5, classes=side.classes[5:])
    found = measured(planned(), "validation", part, rows, ["accuracy"], known)
    as_before = dataclasses.replace(side, labels=side.labels[kept])
    again = measured(planned(), "validation", as_before, rows, ["accuracy"], known)
    assert found.metrics == again.metrics
    assert 0 < found.metrics["accuracy"] < 1


def test_metrics_of_classes_and_of_rankings_have_no_name_in_common():
    assert not {"accuracy", "macro_f1", "mean_class_accuracy"} & METRICS.keys()


# ---- what is hidden


def test_no_component_can_ask_for_the_hidden_sub_class(faces, data):
    assert not [name for name in NAMES if "subclass" in name]
    for name in ("subclass", "train_subclass"):
        (faces / f"{name}.py").write_text(f"def spy(embeddings, {name}):\n    return embeddings.sum()\n")
        spec = plan([f"./{name}.py:spy"], task="faces", profile="smoke")[0].spec
        with pytest.raises(ContractError, match=name):
            build_recipe(spec, data.train)


def test_training_does_not_depend_on_what_is_hidden(faces, data):
    """The same weights where the hidden column says something else, and where there is none."""
    spec = planned("gaussian-subspaces")
    weights = []
    for number, change in enumerate((None, "x", ...)):
        folder = faces / f"store-{number}"
        folder.mkdir()
        for file in data.folder.iterdir():
            if file.name != TEST_LABELS:
                (folder / file.name).symlink_to(file)
        if change is not None:
            part = json.loads((folder / TRAIN).read_text())
            part["columns"]["subclass"] = ["x"] * len(part["rows"])
            if change is ...:
                del part["columns"]["subclass"]
            (folder / TRAIN).unlink()
            (folder / TRAIN).write_text(json.dumps(part))
        root = RunDirectory(faces / f"run-{number}")
        root.root.mkdir()
        root.spec.write_text(spec.to_json())
        label(root, folder)
        train(root, folder, lambda message: None)
        weights.append((root.weights("last").read_bytes(), root.found("last").read_bytes()))
    assert weights[0] == weights[1] == weights[2]


def test_training_and_embedding_open_neither_hidden_classes_nor_identities(faces, data):
    """They have the labels alone of the items they know: the store's own lists may as well be away."""
    folder = faces / "store"
    folder.mkdir()
    for file in data.folder.iterdir():
        (folder / file.name).symlink_to(file)
    directory = RunDirectory(faces / "run")
    directory.root.mkdir()
    directory.spec.write_text(planned().to_json())
    label(directory, folder)
    for name, part in ((TRAIN, data.train), (VALIDATION, data.validation)):
        said = json.loads((directory.labels / name).read_text())
        assert (said["columns"], said["paths"]) == ({}, [])
        assert said["labels"] == part.labels.tolist()
        assert {"domain", "subclass"} <= part.columns.keys()
        (folder / name).unlink()
    (folder / TEST_LABELS).unlink()
    train(directory, folder, lambda message: None)
    embed(directory, folder, "validation")
    assert len(load_file(directory.embeddings("train", "last"))["embeddings"]) == len(data.train.rows)


def test_a_column_that_the_protocol_shows_stays(faces, data):
    spec = planned()
    spec = spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"columns": ("domain",)})})
    for part, shown in zip((data.train, data.validation), told(spec, data), strict=True):
        assert shown.columns == {"domain": part.columns["domain"]}


def test_hidden_sub_classes_are_scored_by_name_across_hands(data):
    """An embedding that knows the emoji finds its drawing by the other hand; one that is random does not."""
    generator = torch.Generator().manual_seed(2)
    rules, spec = load_protocol("local/faces/v1").classes, planned()
    names = sorted(set(data.train.columns["subclass"]))
    place = dict(zip(names, torch.eye(129), strict=True))
    rows = {
        side: torch.stack([place[name] for name in part.columns["subclass"]])
        for side, part in (("train", data.train), ("validation", data.validation))
    }
    knows = hidden_scores(spec, rules, data.validation, rows["validation"], Known(data.train, rows["train"]))
    assert knows["hidden/recall_at_1"] == knows["hidden/map_at_r"] == 1
    assert knows["hidden/purity"] > 0.8  # k-means leaves some drawings of two emoji in one cluster
    assert knows["hidden/ami"] > 0.5
    noise = torch.randn(129, 6, generator=generator)
    blind = hidden_scores(spec, rules, data.validation, noise, known_of(data, generator))
    assert blind["hidden/recall_at_1"] < 0.1
    assert abs(blind["hidden/ami"]) < 0.1
    assert blind["hidden/purity"] == pytest.approx(blind["hidden/purity_chance"], abs=0.03)
    assert not [name for name in blind if name.startswith("found/")]


def test_data_without_sub_classes_has_no_score_of_them(data):
    generator = torch.Generator().manual_seed(2)
    part = dataclasses.replace(data.validation, columns={"domain": data.validation.columns["domain"]})
    rows = torch.randn(129, 6, generator=generator)
    rules = load_protocol("local/faces/v1").classes
    assert hidden_scores(planned(), rules, part, rows, known_of(data, generator)) == {}


def test_sub_classes_that_a_method_finds_are_held_against_the_hidden_ones(faces, data, run):
    (faces / "halves.py").write_text(HALVES)
    done, (record,) = run("./halves.py:Halves")
    assert done.status == 0, done.err
    assert record["metrics"]["found/subclasses"] == 28
    directory = RunDirectory(Path("runs") / record["run_key"])
    labels = load_file(directory.found("selected"))["labels"]
    assert torch.equal(labels // 2, data.train.labels)
    # By loops: each item of the side goes to the nearer of the two means of its own class.
    rows = {
        side: load_file(directory.embeddings(side, "selected"))["embeddings"].double()
        for side in ("train", "validation")
    }
    hidden = [*data.train.columns["subclass"], *data.validation.columns["subclass"]]
    clusters = labels.tolist()
    for row, own in zip(rows["validation"], data.validation.labels.tolist(), strict=True):
        means = [rows["train"][labels == one].mean(dim=0) for one in (2 * own, 2 * own + 1)]
        near = [float(row @ mean / mean.norm()) for mean in means]
        clusters.append(2 * own + near.index(max(near)))
    number = {name: place for place, name in enumerate(sorted(set(hidden)))}
    expected = purity(torch.tensor([number[name] for name in hidden]), torch.tensor(clusters))
    assert record["metrics"]["found/purity"] == pytest.approx(expected, abs=1e-12)
    # Two drawings of an emoji: no more than two items of a cluster are of one.
    assert record["metrics"]["found/purity"] <= 2 * 28 / 258


def test_a_method_that_finds_none_says_nothing_of_found_ones(run):
    done, (record,) = run("contrastive")
    assert done.status == 0, done.err
    assert not [name for name in record["metrics"] if name.startswith("found/")]
    assert record["metrics"]["hidden/purity_chance"] > 0.5


def test_scoring_loads_no_plugin(faces, data, run):
    _, (record,) = run("contrastive")
    code = f"""
import sys
from pathlib import Path
from dmlbench.run.directory import RunDirectory
from dmlbench.run.scoring import score_run
directory = RunDirectory(Path({str(Path("runs") / record["run_key"])!r}))
score_run(directory, Path({str(data.folder)!r}), "validation")
print([name for name in sys.modules if name.startswith("dmlbench_plugins")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
