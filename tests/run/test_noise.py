"""Runs with wrong labels: who sees which, what is reported, and what a recipe may not know."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmlbench.data.noise import truly_labelled
from dmlbench.data.store import Prepared
from dmlbench.errors import DmlbenchError
from dmlbench.run.assemble import opened
from dmlbench.run.directory import RunDirectory
from dmlbench.run.planner import plan
from dmlbench.run.training import train
from dmlbench.spec.run import RunSpec
from dmlbench.train.names import NAMES

NOISES = """
[[noises]]
id = "symmetric-50"
rule = "symmetric"
rate = 0.5

[[noises]]
id = "small-cluster-16px-25"
rule = "small-cluster-16px"
rate = 0.25
"""

SPIES = '''
"""Components that write down what they are told."""
import json

import torch
from torch import nn

from dmlbench.api import LossPlugin, hookimpl


class Spy(nn.Module):
    def __init__(self, num_classes, num_samples, class_counts):
        super().__init__()
        self.told = {"num_classes": num_classes, "class_counts": class_counts.tolist()}
        self.register_buffer("mine", torch.zeros(num_samples, dtype=torch.bool))

    def on_train_start(self, train_labels, by_class):
        whole = {**self.told, "labels": train_labels.tolist(), "by_class": sorted(by_class)}
        with open("told.json", "w") as file:
            json.dump(whole, file)

    def forward(self, similarity, positives, negatives, indices, labels, train_labels):
        assert torch.equal(labels, train_labels[indices])
        self.mine[indices[:2]] = True
        return (similarity * negatives).mean() - (similarity * positives).mean()

    def dropped(self, num_samples):
        return self.mine


def told_rate(similarity, negatives, *, noise_rate: float = 0.3):
    return (similarity * negatives).mean() + noise_rate * 0
'''
PLUGIN = """
from dmlbench.api import LossPlugin, hookimpl


@hookimpl
def dmlbench_losses():
    yield LossPlugin(id="spy", target="spies.parts:Spy")
    yield LossPlugin(id="told-rate", target="spies.parts:told_rate", oracle=("noise_rate",))
"""


@pytest.fixture
def noisy(project):
    """The tiny protocol with two kinds of label noise, as `local/noisy/v1`."""
    text = (project / "local/tiny/v1.toml").read_text()
    text = text.replace("local/tiny/v1", "local/noisy/v1").replace('"zero-shot"', '"noisy-label"')
    head, profiles, rest = text.partition("[profiles]")
    place = project / "local/noisy/v1.toml"
    place.parent.mkdir()
    place.write_text(f'{head}reported = "last"\n{NOISES}\n{profiles}{rest}')
    return project


@pytest.fixture
def spies(distribution, installed):
    made = distribution("spies", PLUGIN, parts__py=SPIES)
    installed(made.site)
    return made


def planned(*methods, **options):
    return plan(methods, **{"task": "tiny", "protocol": "local/noisy/v1", "profile": "smoke", **options})


def run(dmlbench, *arguments):
    done = dmlbench("run", *arguments, "--task", "tiny", "--protocol", "local/noisy/v1", "--json",
                    "--profile", "smoke", "--jobs", "1")  # fmt: skip
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_every_kind_of_noise_is_a_run_and_a_task_of_its_own(noisy):
    runs = planned("contrastive", seeds=[0, 1])
    assert [(r.spec.noise.id, r.spec.seed) for r in runs] == [
        ("symmetric-50", 0),
        ("symmetric-50", 1),
        ("small-cluster-16px-25", 0),
        ("small-cluster-16px-25", 1),
    ]
    assert len({r.spec.key for r in runs}) == 4
    assert {r.spec.task_id for r in runs} == {"tiny-symmetric-50", "tiny-small-cluster-16px-25"}
    assert len({r.spec.digests()["task"] for r in runs}) == 2
    (alone,) = planned("contrastive", noises=["symmetric-50"], seeds=[1])
    assert alone.spec.key == runs[1].spec.key


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noises": ["symmetric-5"]}, "near symmetric-50"),
        ({"noises": ["symmetric-50"], "protocol": "local/tiny/v1"}, "has no label noise"),
        ({"noise_list": "absent.csv"}, "cannot read the noise list"),
    ],
)
def test_a_noise_that_is_not_there_is_said_before_any_run(noisy, options, said):
    options = {name: Path(value) if name == "noise_list" else value for name, value in options.items()}
    with pytest.raises(DmlbenchError) as error:
        planned("contrastive", **options)
    assert said in str(error.value)


def test_no_name_tells_the_rate_or_the_true_labels():
    assert not [name for name in NAMES if any(word in name for word in ("clean", "true", "noise", "rate"))]


def test_components_see_noisy_labels_alone_and_core_scores_against_the_true_ones(
    noisy, spies, dmlbench, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(spies.site), prepend=os.pathsep)
    (record,) = run(dmlbench, "spies:spy", "--noise", "symmetric-50", "--out", "out")
    assert record["task"] == "tiny-symmetric-50"
    directory = RunDirectory(next(path.parent for path in (noisy / "out").glob("*/spec.json")))
    spec = RunSpec.from_file(directory.spec)
    given = Prepared.open(_store(), directory.labels)
    clean = Prepared.open(_store())
    told = json.loads((noisy / "told.json").read_text())
    assert told["labels"] == given.train.labels.tolist() != clean.train.labels.tolist()
    assert told["class_counts"] == torch.bincount(given.train.labels, minlength=told["num_classes"]).tolist()
    assert told["by_class"] == given.train.labels.unique().tolist()
    # As many as asked, on both sides; the same again from the same seed.
    for side in ("train", "validation"):
        right = truly_labelled(getattr(clean, side), getattr(given, side))
        assert int((~right).sum()) == round(len(right) / 2)
    # What the spy said that it drops, against the truth.
    right = truly_labelled(clean.train, given.train)
    dropped = load_file(directory.dropped)["dropped"]
    assert record["metrics"]["drop_precision"] == pytest.approx(float((~right)[dropped].float().mean()))
    assert record["metrics"]["drop_recall"] == pytest.approx(float(dropped[~right].float().mean()))
    # The last weights are reported, the selected ones beside them.
    metrics = record["metrics"]
    assert metrics["map_at_r"] == record["last_metrics"]["map_at_r"]
    assert metrics["gap/map_at_r"] == metrics["selected/map_at_r"] - metrics["map_at_r"]
    assert opened(spec, directory, _store()).train.labels.equal(given.train.labels)


def test_training_does_not_open_the_true_labels(noisy, dmlbench):
    """The worker is given the folder of the noisy ones: the true ones may be unreadable."""
    run(dmlbench, "untrained", "--noise", "symmetric-50", "--out", "first")
    truth = _store() / "train.json"
    text = truth.read_text()
    kept = next((noisy / "first").glob("*/labels"))
    (runs,) = planned("contrastive", noises=["symmetric-50"])
    directory = RunDirectory(noisy / "second" / runs.spec.key)
    directory.labels.mkdir(parents=True)
    for name in ("train.json", "val.json"):
        (directory.labels / name).write_bytes((kept / name).read_bytes())
    directory.spec.write_text(runs.spec.to_json())
    truth.write_text("not for you")
    try:
        train(directory, _store(), lambda message: None)
    finally:
        truth.write_text(text)
    assert directory.trained.exists()


def test_all_methods_and_a_repeated_command_get_the_same_wrong_labels(noisy, dmlbench):
    run(dmlbench, "untrained", "contrastive", "--noise", "small-cluster-16px-25", "--out", "out")
    found = {path.read_text() for path in (noisy / "out").glob("*/labels/train.json")}
    assert len(found) == 1
    run(dmlbench, "untrained", "--noise", "small-cluster-16px-25", "--out", "again")
    found |= {path.read_text() for path in (noisy / "again").glob("*/labels/train.json")}
    assert len(found) == 1


def test_a_published_list_is_a_kind_of_noise(noisy, dmlbench):
    run(dmlbench, "untrained", "--noise", "symmetric-50", "--out", "out")
    clean = Prepared.open(_store()).train
    lines = [f"/there/{path},{label}" for path, label in zip(clean.paths, clean.labels.tolist(), strict=True)]
    own, other = clean.labels[0].item(), clean.labels[-1].item()
    lines[0] = lines[0].removesuffix(f",{own}") + f",{other}"
    (noisy / "list.csv").write_text("\n".join(lines))
    (record,) = run(dmlbench, "untrained", "--noise-list", "list.csv", "--out", "out")
    assert record["task"].startswith("tiny-list-")
    lines[1] = lines[1].rpartition(",")[0] + ",5000"
    (noisy / "list.csv").write_text("\n".join(lines))
    done = dmlbench("run", "untrained", "--noise-list", "list.csv", "--task", "tiny",
                    "--protocol", "local/noisy/v1", "--profile", "smoke")  # fmt: skip
    assert done.status != 0
    assert "label 5000" in done.err


def test_a_recipe_that_is_told_the_rate_is_marked(noisy, spies):
    def marks(*changes, **options):
        return [p.oracle for p in planned("spies:told-rate", seeds=[0], changes=changes, **options)]

    assert marks() == [False, False]
    assert marks("loss.noise_rate=0.1") == [True, True]
    assert marks("loss.noise_rate=0.5") == [True, True]
    # A default that happens to be right knows too.
    text = (noisy / "local/noisy/v1.toml").read_text()
    (noisy / "local/noisy/v1.toml").write_text(text.replace("rate = 0.25", "rate = 0.3"))
    assert marks() == [False, True]


def _store():
    """The tiny task's prepared folder: the newest, as other tests leave theirs."""
    found = Path(os.environ["DMLBENCH_HOME"]).glob("data/tiny/*/meta.json")
    return max(found, key=lambda meta: meta.stat().st_mtime).parent
