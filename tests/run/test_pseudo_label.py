"""Runs without labels: what a component is told, what core opens, and how clusters are judged afterwards."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from dmlbench.data.store import TEST_LABELS, TRAIN, VALIDATION, Prepared
from dmlbench.errors import MissingPackageError, SpecError, UsageError
from dmlbench.protocols import load_protocol
from dmlbench.run.assemble import opened
from dmlbench.run.clusters import dealt, hidden
from dmlbench.run.directory import RunDirectory
from dmlbench.run.finished import check_teacher
from dmlbench.run.home import ready
from dmlbench.run.labelling import label
from dmlbench.run.planner import plan
from dmlbench.run.training import train
from dmlbench.score import faiss_library
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.toml import build_spec, load_spec, parse_toml

RULES = "local/hidden/v1"
SPY = '''
"""A component that writes down what it is told of labels."""
import json

import torch
from torch import nn


class Spy(nn.Module):
    def __init__(self, num_classes, num_samples, class_counts):
        super().__init__()
        self.told = {"num_classes": num_classes, "class_counts": class_counts.tolist()}

    def on_epoch_start(self, epoch, train_labels, by_class):
        whole = {**self.told, "labels": train_labels.tolist(), "by_class": sorted(by_class)}
        with open(f"told-{epoch}.json", "w") as file:
            json.dump(whole, file)

    def forward(self, similarity, positives, negatives, indices, labels, first_labels, train_labels):
        assert torch.equal(labels, train_labels[indices])
        itself = torch.eye(len(labels), dtype=torch.bool)
        assert torch.equal(positives | itself, labels[:, None] == labels)
        with open("first.json", "a") as file:
            file.write(json.dumps([indices.tolist(), first_labels.tolist()]) + "\\n")
        return (similarity * negatives).mean() - (similarity * positives).mean()
'''
PLUGIN = """
from dmlbench.api import LossPlugin, hookimpl


@hookimpl
def dmlbench_losses():
    yield LossPlugin(id="spy", target="watchers.parts:Spy")
"""


@pytest.fixture
def unlabelled(project):
    """The tiny protocol without labels, as `local/hidden/v1`, clustering once in two epochs."""
    text = (project / "local/tiny/v1.toml").read_text().replace("local/tiny/v1", RULES)
    text = text.replace('"zero-shot"', '"pseudo-label"').replace('"validation"\nval', '"last"\nval')
    text = text.replace("extra_forwards = 1", "extra_forwards = 2")
    head, profiles, rest = text.partition("[profiles]")
    place = project / "local/hidden/v1.toml"
    place.parent.mkdir()
    place.write_text(f"{head}[pseudo_labels]\nevery = 2\niterations = 25\n\n{profiles}{rest}")
    return project


def in_order_of(part, other):
    """The labels of `part` for the items of `other`, row by row."""
    label_of = dict(zip(part.rows.tolist(), part.labels.tolist(), strict=True))
    return torch.tensor([label_of[row] for row in other.rows.tolist()])


def planned(*methods, **options):
    return plan(methods, **{"task": "tiny", "protocol": RULES, "profile": "quick", **options})


def run(dmlbench, *arguments, status=0):
    done = dmlbench("run", *arguments, "--task", "tiny", "--protocol", RULES, "--profile", "quick",
                    "--jobs", "1", "--json")  # fmt: skip
    assert done.status == status, done.err
    return json.loads(done.out) if done.out else []


@pytest.fixture
def data(unlabelled):
    """The task's prepared data, true labels and all."""
    (one,) = planned("contrastive")
    return Prepared.open(ready(one.spec.task, one.spec.track.images).folder)


# ---- the rules


def test_the_official_rules_select_nothing_by_labels_and_leave_room_for_the_clusterings():
    rules = load_protocol("pseudo-label/v1")
    assert (rules.family, rules.selection, rules.columns) == ("pseudo-label", "last", ())
    # Core's own passes, once in `every` epochs, leave a method the budget's worth that it has elsewhere.
    assert (
        rules.extra_forwards - 1 / rules.pseudo_labels.every >= load_protocol("zero-shot/v1").extra_forwards
    )
    assert load_protocol("zero-shot/v1").pseudo_labels is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"selection": "validation"}, "none can select"),
        ({"columns": ["superclass"]}, "no noise, no column"),
        ({"noises": [{"id": "half", "rule": "symmetric", "rate": 0.5}]}, "no noise, no column"),
        ({"labels": "several"}, "one class an item"),
    ],
)
def test_rules_that_would_use_a_label_are_refused(unlabelled, change, said):
    rules = parse_toml((unlabelled / "local/hidden/v1.toml").read_text(), place="rules")
    load_spec(Protocol, unlabelled / "local/hidden/v1.toml")
    with pytest.raises(SpecError, match=said):
        build_spec(Protocol, {**rules, **change}, place="rules")


def test_without_faiss_it_is_said_before_any_run(unlabelled, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(faiss_library.importlib, "import_module", absent)
    with pytest.raises(MissingPackageError, match="faiss") as error:
        planned("contrastive")
    assert "faiss-cpu" in error.value.way_out


# ---- what is told


def test_what_components_may_open_holds_clusters_of_pictures_and_nothing_else(unlabelled, data):
    (one,) = planned("contrastive")
    train_part, validation = hidden(one.spec, data)
    assert torch.equal(validation.rows, data.validation.rows)
    assert torch.equal(train_part.rows.sort()[0], data.train.rows.sort()[0])
    truth = in_order_of(data.train, train_part)
    for part, whole in ((train_part, data.train), (validation, data.validation)):
        assert (part.columns, part.paths, part.relevance) == ({}, (), None)
        assert not {*part.classes} & {*whole.classes}
    assert validation.labels.unique().tolist() == [0]
    assert len(train_part.classes) == len(data.train.classes)
    assert 0 < normalized_mutual_info_score(truth, train_part.labels) < 1
    # Emoji come hand by hand: their order alone would tell which three are one.
    assert len(set(map(tuple, data.train.labels.view(3, -1).tolist()))) == 1
    assert (truth.view(3, -1)[0] == truth.view(3, -1)[1]).float().mean() < 0.1
    # Nor is it the labels that decide: other ones, the same clusters.
    turned = Prepared(data.folder, data.meta, data.labels)
    turned.train.labels.copy_(data.train.labels.flip(0).roll(1))
    assert torch.equal(hidden(one.spec, turned)[0].labels, train_part.labels)
    for mine, theirs in (
        (hidden(one.spec, data)[0], dealt(one.spec, data)),
        (train_part, dealt(one.spec, turned)),
    ):
        assert torch.equal(mine.rows, theirs.rows)
    assert torch.equal(dealt(one.spec, data).labels, dealt(one.spec, turned).labels)


def test_several_labels_of_an_item_are_hidden_as_its_class_is(unlabelled, data):
    (one,) = planned("contrastive")
    for name in ("train", "validation"):
        part = getattr(data, name)
        several = torch.nn.functional.one_hot(part.labels).bool()
        vars(data)[name] = replace(part, relevance=several, label_names=part.classes)
    for part in (*hidden(one.spec, data), dealt(one.spec, data)):
        assert not {"relevance", "label_names"} & part.to_json().keys()


def test_a_teacher_that_was_told_the_labels_is_refused(unlabelled):
    (one,), (told,) = planned("contrastive"), plan(["contrastive"], task="tiny", profile="quick")
    check_teacher(one.spec, one.spec)
    with pytest.raises(UsageError, match="the teacher was told other labels"):
        check_teacher(one.spec, told.spec)
    (again,) = planned("contrastive", seeds=[1])
    with pytest.raises(UsageError, match="the same noise and seed"):
        check_teacher(one.spec, again.spec)
    check_teacher(told.spec, told.spec)


def test_another_seed_clusters_from_another_start(unlabelled, data):
    first, second = (hidden(one.spec, data)[0].labels for one in planned("contrastive", seeds=[0, 1]))
    assert not torch.equal(first, second)
    assert torch.equal(hidden(planned("contrastive")[0].spec, data)[0].labels, first)


@pytest.mark.slow
def test_a_component_that_asks_for_labels_gets_clusters_alone(
    unlabelled, data, distribution, installed, dmlbench, monkeypatch
):
    made = distribution("watchers", PLUGIN, parts__py=SPY)
    installed(made.site)
    monkeypatch.setenv("PYTHONPATH", str(made.site), prepend=os.pathsep)
    (record,) = run(dmlbench, "watchers:spy", "--out", "out")
    directory = RunDirectory(unlabelled / "out" / record["run_key"])
    history = load_file(directory.clusterings)["clusters"].long()
    assert len(history) > 2
    truth = in_order_of(data.train, opened(planned("contrastive")[0].spec, directory, data.folder).train)
    epochs = sorted(int(path.stem.partition("-")[2]) for path in unlabelled.glob("told-*.json"))
    for epoch in epochs:
        told = json.loads((unlabelled / f"told-{epoch}.json").read_text())
        clusters = history[epoch // 2]
        small = torch.bincount(clusters)[clusters] < 3  # the track draws three of a class
        assert told["labels"] == torch.where(small, -1, clusters).tolist()
        assert told["class_counts"] == torch.bincount(history[0], minlength=told["num_classes"]).tolist()
        assert told["by_class"] == [c for c in sorted({*told["labels"]}) if c >= 0]
        assert told["labels"] != truth.tolist()
    for line in (unlabelled / "first.json").read_text().splitlines():
        indices, first = json.loads(line)
        assert history[0][indices].tolist() == first


def test_training_opens_no_true_label_of_any_side(unlabelled, data):
    (one,) = planned("contrastive", profile="smoke")
    directory = RunDirectory(unlabelled / "run" / one.spec.key)
    directory.root.mkdir(parents=True)
    directory.spec.write_text(one.spec.to_json())
    label(directory, data.folder)
    kept = {name: (data.folder / name).read_text() for name in (TRAIN, VALIDATION, TEST_LABELS)}
    try:
        for name in kept:
            (data.folder / name).write_text("not for you")
        train(directory, data.folder, lambda message: None)
        assert opened(one.spec, directory, data.folder).validation.labels.unique().tolist() == [0]
    finally:
        for name, text in kept.items():
            (data.folder / name).write_text(text)
    log = json.loads(directory.log.read_text())
    assert log
    assert all("validation" not in entry for entry in log)
    assert json.loads(directory.trained.read_text())["validation"] == []


# ---- what is reported


@pytest.mark.slow
def test_the_last_weights_are_scored_and_the_clusters_judged_afterwards(unlabelled, data, dmlbench):
    (record,) = run(dmlbench, "cbml")
    directory = RunDirectory(Path("runs") / record["run_key"])
    assert record["validation"] == []
    assert record["selected_images"] == record["images_seen"]
    assert record["last_metrics"]["map_at_r"] == record["metrics"]["map_at_r"]
    kept = load_file(directory.clusterings)
    told = opened(planned("cbml")[0].spec, directory, data.folder).train
    truth = in_order_of(data.train, told)
    wanted = [
        (at, normalized_mutual_info_score(truth, clusters))
        for at, clusters in zip(kept["images"].tolist(), kept["clusters"].long(), strict=True)
    ]
    assert [at for at, _ in record["pseudo_nmi"]] == [at for at, _ in wanted]
    assert [v for _, v in record["pseudo_nmi"]] == pytest.approx([v for _, v in wanted])
    assert record["metrics"]["pseudo_nmi/first"] == pytest.approx(wanted[0][1])
    assert record["metrics"]["pseudo_nmi/last"] == pytest.approx(wanted[-1][1])
    assert record["metrics"]["pseudo_ami/last"] == pytest.approx(
        adjusted_mutual_info_score(truth, kept["clusters"][-1].long())
    )
    assert record["extra_forwards"] == (len(wanted) - 1) * len(truth)
    assert "drop_precision" not in record["metrics"]
    # What does not train has no clusters of its own.
    (untrained,) = run(dmlbench, "untrained")
    assert not [name for name in untrained["metrics"] if name.startswith("pseudo")]
    assert os.listdir(RunDirectory(Path("runs") / untrained["run_key"]).labels)
