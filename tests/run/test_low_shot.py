"""Runs that add classes from few images: who trains, who is shown, what is scored, and that nobody cheats."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import pairwise_distances
from torch.nn import functional

from dmlbench.data.shots import divided, shown
from dmlbench.data.store import TEST_LABELS, TRAIN, VALIDATION, Part
from dmlbench.errors import ContractError, DataError, SpecError, UsageError
from dmlbench.files import read_json
from dmlbench.protocols import load_protocol, load_task
from dmlbench.results import classes as class_files
from dmlbench.run import tuning
from dmlbench.run.assemble import build_recipe, build_trainer, opened
from dmlbench.run.directory import RunDirectory
from dmlbench.run.embedding import embed
from dmlbench.run.labelling import label
from dmlbench.run.planner import plan
from dmlbench.run.scoring import score_run
from dmlbench.run.shot_scores import Base, shot_scores
from dmlbench.run.showing import show
from dmlbench.run.training import train
from dmlbench.run.tuning import tune, with_novel
from dmlbench.score.low_shot import imprint
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.toml import build_spec, parse_toml

PROTOCOL = """
id = "local/shots/v1"
status = "draft"
family = "low-shot"
summary = "Emoji known by one drawing or two, four looks."
form = "shots"
metrics = ["accuracy_novel_1", "accuracy_novel_2", "accuracy_novel_5", "accuracy_all_1", "accuracy_all_2"]
primary = "accuracy_novel_1"
selection = "validation"
validations = 4
extra_forwards = 1

[shots]
seed = 0
numbers = [1, 2, 5]
draws = 3
pool = 0.7
tuning = 0.2
tuning_rate = 0.1
tuned_draws = 1

[profiles]
smoke = { seeds = 1, scores = "validation" }
"""


TEACHING = {"teacher": "contrastive", "rules": "zero-shot/v1", "seed": 0, "plain": "contrastive"}
CLUSTERS = {"every": 4, "iterations": 20}
SHOTS = parse_toml(PROTOCOL, place="rules")["shots"]


@pytest.fixture
def few(project):
    """The tiny project with a protocol of few images."""
    path = project / "local" / "shots" / "v1.toml"
    path.parent.mkdir()
    path.write_text(PROTOCOL)
    return project


@pytest.fixture
def run(few, issuing):
    """Issue a run under it; the command's result and its records."""
    return issuing("--protocol", "local/shots/v1", "--task", "tiny")


@pytest.fixture
def data(few, prepared):
    """The task's prepared data."""
    return prepared("tiny")


def planned(name="weight-imprinting"):
    return plan([name], protocol="local/shots/v1", task="tiny", profile="smoke")[0].spec


@pytest.fixture
def labelled(few, data):
    """The folder of a run whose stage `label` is over."""
    directory = RunDirectory(few / "run")
    directory.root.mkdir()
    directory.spec.write_text(planned().to_json())
    label(directory, data.folder)
    return directory


# ---- the rules


def test_the_protocol_has_the_numbers_of_the_paper_and_ten_draws():
    rules = load_protocol("low-shot/v1")
    assert (rules.form, rules.family, rules.primary) == ("shots", "low-shot", "accuracy_novel_1")
    assert (rules.shots.numbers, rules.shots.draws) == ((1, 2, 5, 10, 20), 10)
    assert rules.metrics == tuple(f"accuracy_{g}_{n}" for g in ("novel", "all") for n in rules.shots.numbers)
    assert {rules.profiles[name].scores for name in ("smoke", "quick")} == {"validation"}
    assert rules.profiles["ranked"].scores == "test"
    assert (rules.columns, rules.noises, rules.labels) == ((), (), "one")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shots": None}, "the form 'shots' needs `shots`"),
        ({"tie_seed": 1}, "the form 'shots' has no `tie_seed`"),
        ({"form": "self"}, "the form 'self' needs `ties`"),
        ({"labels": "several"}, "the form 'shots' is about true classes, one an item"),
        ({"noises": [{"id": "x", "rule": "symmetric", "rate": 0.1}]}, "about true classes"),
        ({"columns": ["domain"]}, "the form 'shots' has no `columns`"),
        ({"distillation": TEACHING}, "the form 'shots' needs more"),
        ({"pseudo_labels": CLUSTERS, "selection": "last"}, "the form 'shots' needs true classes"),
        ({"primary": "accuracy_all_1"}, "selects by novel classes"),
        (
            {"metrics": ["accuracy_novel_1", "accuracy_novel_3"]},
            "'accuracy_novel_3' is no metric of the numbers",
        ),
        ({"metrics": ["accuracy_novel_1", "recall_at_1"]}, "'recall_at_1' is no metric of the numbers"),
        ({"shots": {**SHOTS, "tuned_draws": 4}}, "more draws are trained on than there are"),
    ],
)
def test_a_form_has_what_it_needs_and_nothing_of_another(change, said):
    rules = {**parse_toml(PROTOCOL, place="rules"), **change}
    rules = {name: value for name, value in rules.items() if value is not None}
    with pytest.raises(SpecError, match=said):
        build_spec(Protocol, rules, place="rules")


def test_a_task_with_every_class_on_every_side_is_refused():
    assert load_task("grocery-tags").split.rule == "within-class"
    with pytest.raises(UsageError, match="low-shot/v1 is about classes never seen"):
        plan(["contrastive"], protocol="low-shot/v1", task="grocery-tags", profile="smoke")


def test_a_side_with_too_few_images_is_refused_before_any_run(few, run):
    path = few / "local" / "shots" / "v1.toml"
    metrics = 'metrics = ["accuracy_novel_5"]\nprimary = "accuracy_novel_5"\n'
    path.write_text(re.sub(r"metrics = .*\nprimary = .*\n", metrics, PROTOCOL).replace("[1, 2, 5]", "[5]"))
    done, records = run("contrastive")
    assert (done.status, records) == (2, [])
    assert "a class has 2 images to learn from; 5 is the least number" in done.err
    assert not (few / "runs").exists()


# ---- who trains


def test_a_scored_image_of_a_base_class_is_not_among_those_that_train(labelled, data):
    known = opened(planned(), labelled, data.folder)
    held = read_json(labelled.held)["rows"]
    assert len(known.train.rows) == 2 * len(known.train.classes)  # of three drawings
    assert not set(known.train.rows.tolist()) & set(held)
    assert sorted([*known.train.rows.tolist(), *held]) == data.train.rows.tolist()
    assert known.train.classes == data.train.classes
    spec = planned()
    trainer = build_trainer(spec, build_recipe(spec, known.train), known)
    assert torch.equal(trainer.images._rows, known.train.rows)
    assert trainer.recipe.facts["num_samples"] == len(known.train.rows)
    assert trainer.recipe.facts["class_counts"].tolist() == [2] * len(known.train.classes)


def test_training_does_without_the_labels_of_scored_images(labelled, data, few):
    """Neither the training side as a whole nor the test labels are opened."""
    hidden = [(data.folder / name).rename(few / name) for name in (TRAIN, VALIDATION, TEST_LABELS)]
    try:
        train(labelled, data.folder, lambda message: None)
        assert labelled.trained.exists()
    finally:
        for path in hidden:
            path.rename(data.folder / path.name)


def test_rows_of_scored_base_images_come_without_labels(labelled):
    held = read_json(labelled.held)
    assert held.keys() == {"rows"}
    assert held["rows"] != sorted(held["rows"])


# ---- who is shown


def side(classes, each, first=0):
    labels = torch.arange(classes).repeat_interleave(each)
    names = tuple(f"class{first + label}" for label in range(classes))
    paths = tuple(f"{names[label]}/{item}" for item, label in enumerate(labels.tolist()))
    return Part(torch.arange(len(labels)), labels, names, {}, paths)


def base(classes=4, dim=8, seed=0):
    rows = torch.randn(classes, dim, generator=torch.Generator().manual_seed(seed))
    return Base(tuple(f"base{label}" for label in range(classes)), rows, learnt=True)


def scored(part, embeddings, given=None, metrics=("accuracy_novel_1", "accuracy_novel_2")):
    spec = planned()
    return shot_scores(spec, spec.protocol.shots, "test", part, embeddings, metrics, given or base())


def test_a_novel_class_that_trained_is_refused(few):
    part = side(3, 6)
    known = dataclasses.replace(base(), classes=("class1", "other", "another", "last"))
    with pytest.raises(DataError, match="class 'class1' trains and is to be new"):
        scored(part, torch.ones(18, 8), known)


def test_a_scored_image_is_never_among_the_shots(few):
    """What is scored is swapped for anything else: the rows that are imprinted stay as they are."""
    part = side(5, 6)
    rules = planned().protocol.shots
    cut = divided(rules, part, "here", novel=True)
    images = shown(rules, part, cut.pool, "here").places
    assert not set(images.flatten().tolist()) & set(cut.scored.tolist())
    # Every scored image has an embedding that no shot has: were one among the shots, it would be right.
    points = torch.zeros(30, 8)
    points[:, 0] = 1
    points[cut.scored] = functional.one_hot(1 + torch.arange(len(cut.scored)) % 7, 8).float()
    far = dataclasses.replace(base(), rows=torch.eye(8)[1:5])
    found = scored(part, points, far)
    right = found.per_draw["own/accuracy_novel_1"]
    assert right.tolist() == pytest.approx([_share_without_base(points, cut)] * 3)


def _share_without_base(points, cut):
    """Items along an axis of a base class go there; others have cosine 0 with all classes: one of nine."""
    taken = points[cut.scored][:, 1:5].sum(dim=1)
    return float(((1 - taken) / 9).mean())


def test_what_was_not_drawn_does_not_count(few):
    part = side(5, 12)
    rules = planned().protocol.shots
    cut = divided(rules, part, "here", novel=True)
    images = set(shown(rules, part, cut.pool, "here").places.flatten().tolist())
    points = torch.randn(60, 8, generator=torch.Generator().manual_seed(3))
    plain = scored(part, points).metrics
    others = [place for place in cut.pool.tolist() if place not in images]
    assert others
    points[others] = 1e6 * torch.randn(len(others), 8, generator=torch.Generator().manual_seed(4))
    assert scored(part, points).metrics == plain
    points[sorted(images)] = points[sorted(images)].flip(0)
    assert scored(part, points).metrics != plain


def test_a_class_that_has_too_few_images_for_any_number_is_refused(few):
    with pytest.raises(DataError, match="has 1 images to learn from and 0 to score"):
        scored(side(3, 1), torch.ones(3, 8))


def test_a_metric_of_something_else_is_refused(few):
    with pytest.raises(UsageError, match="no metric of few images named 'recall_at_1'"):
        scored(side(3, 6), torch.ones(18, 8), metrics=("recall_at_1",))


# ---- scores


def nearest_class(items, points, labels, own):
    """Whether the nearest point is of the own class: 1/m where points of m classes are as near."""
    distances = pairwise_distances(items.numpy(), points.numpy(), metric="cosine")
    by_class = np.stack([distances[:, labels == c].min(axis=1) for c in range(int(labels.max()) + 1)], axis=1)
    nearest = by_class <= by_class.min(axis=1, keepdims=True) + 1e-12
    return nearest[np.arange(len(own)), own] / nearest.sum(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["validation", "test"])
def test_the_numbers_of_a_run_are_those_of_scikit_learn(few, run, data, which):
    done, records = run("weight-imprinting", *(["--score-test"] if which == "test" else []))
    assert done.status == 0, done.err
    (record,) = records
    directory = RunDirectory(few / "runs" / record["run_key"])
    part = data.test_labels() if which == "test" else data.validation
    rules = planned().protocol.shots
    here, there = divided(rules, data.train, "", novel=False), divided(rules, part, "", novel=True)
    images = shown(rules, part, there.pool, "")
    assert images.numbers == (1, 2)
    found = {name: rows.double() for name, rows in load_file(directory.embeddings(which, "selected")).items()}
    assert found.keys() == {"embeddings", "train", "held", "class_rows"}
    assert found["class_rows"].norm(dim=1).numpy() == pytest.approx(1, abs=1e-6)

    count = len(data.train.classes)
    own = torch.cat([data.train.labels[here.scored], part.labels[there.scored] + count]).numpy()
    items = functional.normalize(torch.cat([found["held"], found["embeddings"][there.scored]]), dim=1)
    unit = functional.normalize(found["embeddings"], dim=1)
    new = torch.arange(len(part.classes)) + count
    wanted: dict[str, list[float]] = {}
    for draw in images.places:
        for n in images.numbers:
            rows = torch.cat([found["class_rows"], unit[draw[:, :n]].mean(dim=1)])
            right = nearest_class(items, rows, torch.arange(len(rows)), own)
            wanted.setdefault(f"accuracy_novel_{n}", []).append(right[own >= count].mean())
            wanted.setdefault(f"accuracy_all_{n}", []).append(right.mean())
        points = torch.cat([found["train"], found["embeddings"][draw[:, 0]]])
        labels = torch.cat([data.train.labels[here.pool], new])
        right = nearest_class(items, points, labels, own)
        wanted.setdefault("nearest/accuracy_novel_1", []).append(right[own >= count].mean())
        wanted.setdefault("nearest/accuracy_all_1", []).append(right.mean())
    for name, values in wanted.items():
        assert record["metrics"][name] == pytest.approx(sum(values) / 3, abs=1e-9), name
    assert record["metrics"].keys() - wanted.keys() == {
        "accuracy_novel_1_draw_std",
        "random/accuracy_novel_1",
        "random/accuracy_all_1",
    }
    spread = torch.tensor(wanted["accuracy_novel_1"]).std().item()
    assert record["metrics"]["accuracy_novel_1_draw_std"] == pytest.approx(spread, abs=1e-9)
    assert record["metric_versions"] == dict.fromkeys(set(wanted) - {n for n in wanted if "/" in n}, 1)

    said = read_json(directory.scores(which))["shots"]
    assert (said["numbers"], said["left_out"], said["rows"], said["draws"]) == ([1, 2], [5], "learnt", 3)
    assert said["classes"] == {"base": count, "novel": len(part.classes)}
    groups = ("novel", "all", "transfer")
    for rule, numbers in {"own": (1, 2), "nearest": (1, 2), "random": (1,)}.items():
        assert said["rules"][rule].keys() == {f"accuracy_{group}_{n}" for group in groups for n in numbers}
    transfer = [said["rules"][rule]["accuracy_transfer_1"]["mean"] for rule in ("own", "nearest")]
    assert transfer[0] == transfer[1]
    assert record["queries"] == len(items)
    sums = class_files.read(directory.classes(which), record["classes"])
    assert set(sums.classes) == set(part.classes)
    assert sums.mean("accuracy_novel_1") == pytest.approx(record["metrics"]["accuracy_novel_1"], abs=1e-12)
    if which == "validation":
        best = max(value for _, value in record["validation"])
        assert best == pytest.approx(record["metrics"]["accuracy_novel_1"], abs=2e-3)


@pytest.mark.slow
def test_a_method_without_rows_of_its_own_has_class_means_and_one_may_imprint_by_views(few, run):
    done, records = run("contrastive", "weight-imprinting-augmented", "untrained")
    assert done.status == 0, done.err
    means, views, untrained = (RunDirectory(few / "runs" / record["run_key"]) for record in records)
    for directory in (means, untrained):
        assert read_json(directory.scores("validation"))["shots"]["rows"] == "class means"
    found = load_file(views.embeddings("validation", "selected"))
    assert found["views"].shape == (len(found["embeddings"]), 5, 16)
    assert not torch.allclose(found["views"][:, 0], found["views"][:, 1])
    assert read_json(views.scores("validation"))["shots"]["rules"]["own"]["accuracy_novel_1"]["mean"] > 0


class Wrong(torch.nn.Module):
    """Keeps a row too many."""

    def __init__(self, num_classes: int, embedding_dim: int) -> None:
        super().__init__()
        self.class_rows = torch.nn.Parameter(torch.zeros(num_classes + 1, embedding_dim))

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (embeddings @ self.class_rows.T).square().sum()


def test_class_rows_are_one_for_each_class(few, data, monkeypatch):
    monkeypatch.setattr("dmlbench_plugins.losses.cosine_softmax.CosineSoftmax", Wrong)
    spec = planned()
    with pytest.raises(ContractError, match="class_rows"):
        build_recipe(spec.model_copy(update={"sources": {}}), data.train)


# ---- training with novel classes


@pytest.fixture
def shown_to(few, data):
    """A run of a method that trains with novel classes, as far as it is shown their images."""

    def make(name):
        directory = RunDirectory(few / name)
        directory.root.mkdir()
        directory.spec.write_text(planned(name).to_json())
        label(directory, data.folder)
        train(directory, data.folder, lambda message: None)
        embed(directory, data.folder, "validation")
        show(directory, data.folder, "validation")
        return directory

    return make


def test_what_is_shown_is_as_many_places_and_no_class_name(labelled, data):
    show(labelled, data.folder, "test")
    said = read_json(labelled.shown("test"))
    rules, side = planned().protocol.shots, data.test_labels()
    cut = divided(rules, side, "", novel=True)
    places = torch.tensor(said["places"])
    assert said.keys() == {"numbers", "places"}
    assert places.shape == (1, len(side.classes), 2)  # one draw is trained on
    assert torch.equal(places, shown(rules, side, cut.pool, "").places[:1])
    assert not set(places.flatten().tolist()) & set(cut.scored.tolist())
    assert [side.labels[row].unique().tolist() for row in places[0]] == [
        [c] for c in range(len(side.classes))
    ]


def test_training_on_starts_where_imprinting_ends(shown_to, data, monkeypatch):
    """Without a step the network is that of the run, and its rows are those that are imprinted."""
    directory = shown_to("weight-imprinting-finetuned")
    seen = []

    def stand_still(spec, recipe, data, part, *rest):
        seen.append(part)
        return 0

    monkeypatch.setattr(tuning, "_train", stand_still)
    tune(directory, data.folder, "validation", lambda message: None)
    before = load_file(directory.embeddings("validation", "selected"))
    places = torch.tensor(read_json(directory.shown("validation"))["places"][0])
    held = read_json(directory.held)["rows"]
    for number, part in zip((1, 2), seen, strict=True):
        after = load_file(directory.tuned("validation", number, 0))
        assert torch.equal(after["embeddings"], before["embeddings"])
        assert torch.equal(after["held"], before["held"])
        count = len(data.train.classes)
        assert torch.equal(after["class_rows"][:count], before["class_rows"])
        wanted = imprint(before["embeddings"][places[:, :number]])
        assert torch.allclose(after["class_rows"][count:], wanted)
        # What trains: base pools, and what is shown; never what is scored.
        novel = data.validation.rows[places[:, :number]].flatten().tolist()
        assert part.rows[part.labels >= count].tolist() == novel
        own = divided(planned().protocol.shots, data.validation, "", novel=True).scored
        scored_rows = {*held, *data.validation.rows[own].tolist()}
        assert not scored_rows & set(part.rows.tolist())
    score_run(directory, data.folder, "validation")
    rules = read_json(directory.scores("validation"))["shots"]["rules"]
    assert rules["own"].keys() == rules["imprinted"].keys()
    for name, value in rules["imprinted"].items():
        assert rules["own"][name] == pytest.approx(value, abs=1e-9)


@pytest.mark.slow
def test_tuning_moves_the_network_within_its_budget_and_goes_on_after_an_interruption(shown_to, data):
    directory = shown_to("weight-imprinting-finetuned")
    told: list[int] = []
    tune(directory, data.folder, "validation", lambda message: told.append(message["images"]))
    took = read_json(directory.tuning("validation"))
    assert took["images_seen"] == 2 * 4 * 30  # batches of ten classes, three images of each
    first = {n: directory.tuned("validation", n, 0).read_bytes() for n in (1, 2)}
    before = load_file(directory.embeddings("validation", "selected"))
    assert not torch.equal(load_file(directory.tuned("validation", 1, 0))["embeddings"], before["embeddings"])
    directory.tuned("validation", 2, 0).unlink()
    stamp = directory.tuned("validation", 1, 0).stat().st_mtime_ns
    tune(directory, data.folder, "validation", lambda message: None)
    assert directory.tuned("validation", 1, 0).stat().st_mtime_ns == stamp
    assert directory.tuned("validation", 2, 0).read_bytes() == first[2]


@pytest.mark.slow
def test_a_joint_training_knows_nothing_of_the_run_before(few, run, data):
    done, records = run("weight-imprinting-joint", "weight-imprinting-finetuned", "--score-test")
    assert done.status == 0, done.err
    joint, tuned = records
    base = joint["validation"][-1][0]
    assert joint["images_seen"] == 3 * base
    assert tuned["images_seen"] == base + 2 * 4 * 30
    for record in records:
        assert {"imprinted/accuracy_novel_1", "imprinted/accuracy_all_1"} <= record["metrics"].keys()
        assert "accuracy_novel_1_draw_std" not in record["metrics"]
        assert record["metrics"].keys() >= {"accuracy_novel_1", "accuracy_novel_2", "accuracy_all_2"}
        assert set(record["last_metrics"]) <= set(record["metrics"])
    directories = [RunDirectory(few / "runs" / record["run_key"]) for record in records]
    starts = [load_file(directory.embeddings("test", "selected"))["embeddings"] for directory in directories]
    assert torch.equal(*starts)  # the same run before
    ends = [load_file(directory.tuned("test", 1, 0))["embeddings"] for directory in directories]
    cosines = [
        functional.cosine_similarity(start, end).mean() for start, end in zip(starts, ends, strict=True)
    ]
    assert cosines[1] > 0.95 > cosines[0]


def test_training_with_novel_classes_needs_a_loss_with_a_row_for_each(few, data):
    spec = planned("contrastive")
    method = spec.method.model_copy(update={"novel": "fine-tuned"})
    with pytest.raises(ContractError, match="needs a loss that classifies by a row for each class"):
        build_recipe(spec.model_copy(update={"method": method}), data.train)


def test_novel_classes_are_numbered_after_base_classes():
    part = side(3, 2)
    more = with_novel(part, torch.tensor([[50, 51], [60, 61]]))
    assert more.rows.tolist() == [*range(6), 50, 51, 60, 61]
    assert more.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert len(more.classes) == 5
