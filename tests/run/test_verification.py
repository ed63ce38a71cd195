"""Runs on pairs of pictures: which pairs, what is scored, and that no fold chooses its own threshold."""

import dataclasses
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve

from dmlbench.data.pairs import draw_pairs
from dmlbench.data.store import TEST_LABELS, Part
from dmlbench.errors import DataError, SpecError, UsageError
from dmlbench.protocols import load_protocol, load_task
from dmlbench.results import classes as class_files
from dmlbench.run.assemble import build_recipe
from dmlbench.run.directory import RunDirectory
from dmlbench.run.measuring import measured
from dmlbench.run.planner import plan
from dmlbench.run.training import train
from dmlbench.score.roc import METRIC_VERSIONS, best_threshold
from dmlbench.score.verification import pair_similarities
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.toml import build_spec, parse_toml

PROTOCOL = """
id = "local/pairs/v1"
status = "draft"
family = "verification"
summary = "Pairs of emoji by two hands, four looks."
form = "pairs"
metrics = ["lfw_accuracy", "roc_auc", "tar_at_far_1e-1", "tar_at_far_1e-3", "eer"]
primary = "lfw_accuracy"
selection = "validation"
validations = 4
extra_forwards = 1
pairs = { seed = 0, folds = 10, genuine = 20, across = ["drawer", "domain"] }

[profiles]
smoke = { seeds = 1, scores = "validation" }
"""


@pytest.fixture
def pairs(project):
    """The tiny project with a protocol of pairs."""
    path = project / "local" / "pairs" / "v1.toml"
    path.parent.mkdir()
    path.write_text(PROTOCOL)
    return project


@pytest.fixture
def run(pairs, issuing):
    """Issue a run under it; the command's result and its records."""
    return issuing("--protocol", "local/pairs/v1", "--task", "tiny")


@pytest.fixture
def data(pairs, prepared):
    """The task's prepared data."""
    return prepared("tiny")


def planned(name="contrastive"):
    return plan([name], protocol="local/pairs/v1", task="tiny", profile="smoke")[0].spec


# ---- the rules


def test_the_protocol_has_the_layout_of_lfw_and_shows_no_maker():
    rules = load_protocol("verification/v1")
    assert (rules.form, rules.family, rules.primary) == ("pairs", "verification", "lfw_accuracy")
    assert (rules.pairs.folds, rules.pairs.genuine, rules.pairs.across[0]) == (10, 300, "drawer")
    assert (rules.columns, rules.noises, rules.labels) == ((), (), "one")
    stems = {re.sub(r"_at_far_.*", "_at_far_F", name) for name in rules.metrics}
    assert stems == METRIC_VERSIONS.keys()
    assert load_protocol("zero-shot/v1").pairs is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": None}, "the form 'pairs' needs `pairs`"),
        ({"tie_seed": 1}, "the form 'pairs' has no `tie_seed`"),
        ({"form": "self"}, "the form 'self' needs `ties`"),
        ({"labels": "several"}, "a pair is of one class or of two"),
    ],
)
def test_a_form_has_what_it_needs_and_nothing_of_another(change, said):
    rules = {**parse_toml(PROTOCOL, place="rules"), **change}
    rules = {name: value for name, value in rules.items() if value is not None}
    with pytest.raises(SpecError, match=said):
        build_spec(Protocol, rules, place="rules")


def test_a_task_with_every_class_on_every_side_is_refused():
    assert load_task("grocery-tags").split.rule == "within-class"
    with pytest.raises(UsageError, match="verification/v1 is about classes never seen"):
        plan(["contrastive"], protocol="verification/v1", task="grocery-tags", profile="smoke")


def test_data_that_does_not_say_who_made_a_picture_is_refused_before_any_run(pairs, run):
    path = pairs / "local" / "pairs" / "v1.toml"
    path.write_text(PROTOCOL.replace('"domain"', '"weather"'))
    done, records = run("contrastive")
    assert (done.status, records) == (2, [])
    assert "no column 'drawer' or 'weather', in which pairs differ" in done.err
    assert not (pairs / "runs").exists()


# ---- pairs and classes


def test_no_class_of_a_pair_trains_and_the_sides_share_none(data):
    spec = planned()
    sides = {"validation": data.validation, "test": data.test_labels()}
    of_pairs = {}
    for side, part in sides.items():
        drawn = draw_pairs(spec.protocol.pairs, side, part, "tiny")
        assert len(drawn.rows) == 10 * 2 * 20
        of_pairs[side] = {part.classes[label] for label in part.labels[drawn.rows].flatten().tolist()}
        hands = np.array(part.columns["domain"])[drawn.rows.numpy()]
        assert (hands[:, 0] != hands[:, 1]).all()
    assert not of_pairs["validation"] & set(data.train.classes)
    assert not of_pairs["test"] & {*data.train.classes, *data.validation.classes}


def test_training_does_without_the_test_labels(pairs, data):
    hidden = (data.folder / TEST_LABELS).rename(pairs / "aside.json")
    try:
        directory = RunDirectory(pairs / "run")
        directory.root.mkdir()
        directory.spec.write_text(planned().to_json())
        train(directory, data.folder, lambda message: None)
        assert directory.trained.exists()
    finally:
        hidden.rename(data.folder / TEST_LABELS)


# ---- scores


@pytest.mark.slow
@pytest.mark.parametrize("side", ["validation", "test"])
def test_the_numbers_of_a_run_are_those_of_scikit_learn(pairs, run, data, side):
    done, records = run("contrastive", *(["--score-test"] if side == "test" else []))
    assert done.status == 0, done.err
    (record,) = records
    directory = RunDirectory(pairs / "runs" / record["run_key"])
    part = data.test_labels() if side == "test" else data.validation
    drawn = draw_pairs(planned().protocol.pairs, side, part, "tiny")
    rows = load_file(directory.embeddings(side, "selected"))["embeddings"]
    left, right = rows.double().numpy()[drawn.rows.numpy()].transpose(1, 0, 2)
    scores = pair_similarities(rows, drawn.rows).numpy()
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    assert scores == pytest.approx((left * right).sum(1) / lengths, abs=1e-12)
    genuine, folds = drawn.genuine.numpy(), drawn.folds.numpy()

    found = record["metrics"]
    far, tar, _ = roc_curve(genuine, scores, drop_intermediate=False)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(genuine, scores), abs=1e-12)
    assert found["tar_at_far_1e-1"] == pytest.approx(tar[far <= 0.1].max(), abs=1e-12)
    assert found["tar_at_far_1e-3"] == pytest.approx(tar[far <= 0.001].max(), abs=1e-12)
    cross = np.interp(0, far + tar - 1, far)
    assert found["eer"] == pytest.approx(cross, abs=1e-12)
    accuracies = []
    for fold in range(10):
        own, others = folds == fold, folds != fold
        by_threshold = [
            accuracy_score(genuine[others], scores[others] >= threshold)
            for threshold in np.unique(scores[others])
        ]
        threshold = np.unique(scores[others])[int(np.argmax(by_threshold))]
        accuracies.append(accuracy_score(genuine[own], scores[own] >= threshold))
    assert found["lfw_accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert found["lfw_accuracy_standard_error"] == pytest.approx(
        np.std(accuracies, ddof=1) / np.sqrt(10), abs=1e-12
    )
    assert found["roc_auc"] > 0.55

    said = json.loads(directory.scores(side).read_text())["pairs"]
    assert (said["genuine"], said["impostors"], said["across"]) == (200, 200, "domain")
    assert said["coarse"] == ["tar_at_far_1e-3"]
    assert (record["queries"], record["lone_queries"]) == (400, 0)
    sums = class_files.read(directory.classes(side), record["classes"])
    assert sum(sums.counts) == 400
    assert sums.mean("lfw_accuracy") == pytest.approx(found["lfw_accuracy"], abs=1e-12)
    if side == "validation":
        assert max(value for _, value in record["validation"]) == found["lfw_accuracy"]
    ElementTree.fromstring(directory.roc(side).read_text())


@pytest.fixture
def side():
    """Forty classes of five pictures by five makers."""
    labels = torch.arange(40).repeat_interleave(5)
    classes = tuple(f"class{label:02}" for label in range(40))
    return Part(torch.arange(200), labels, classes, {"domain": list(range(5)) * 40})


def odd_fold(spec, side):
    """Embeddings whose pairs are easily told apart in every fold, in the first one at a lower threshold."""
    drawn = draw_pairs(spec.protocol.pairs, "test", side, "here")
    odd = set(side.labels[drawn.rows[drawn.folds == 0]].flatten().tolist())
    items = len(side.labels)
    rows = torch.zeros(items, 1 + len(side.classes) + items, dtype=torch.float64)
    for item, label in enumerate(side.labels.tolist()):
        # Cosines of 0.9 and 0.5; in the odd fold 0.4 and 0.1.
        together, within = (0.1, 0.3) if label in odd else (0.5, 0.4)
        rows[item, 0] = together**0.5
        rows[item, 1 + label] = within**0.5
        rows[item, 1 + len(side.classes) + item] = (1 - together - within) ** 0.5
    return rows, drawn


def test_no_fold_chooses_its_own_threshold(pairs, side):
    spec = planned()
    rows, drawn = odd_fold(spec, side)
    found = measured(spec, "test", side, rows, ["lfw_accuracy"])
    own = drawn.folds == 0
    scores, genuine = pair_similarities(rows, drawn.rows)[own], drawn.genuine[own]
    right = (scores >= best_threshold(scores, genuine)) == genuine
    assert bool(right.all())  # its own threshold would tell all its pairs apart
    assert found.said()["fold_accuracies"] == pytest.approx([0.5] + [1.0] * 9)
    assert found.metrics["lfw_accuracy"] == pytest.approx(0.95)
    assert found.errors["lfw_accuracy_standard_error"] == pytest.approx(0.05)


def test_what_a_fold_scores_does_not_move_its_threshold(pairs, side):
    spec = planned()
    drawn = draw_pairs(spec.protocol.pairs, "test", side, "here")
    rows = torch.randn(200, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows += 2 * torch.eye(40, dtype=torch.float64)[side.labels][:, :8]
    plain = measured(spec, "test", side, rows, ["lfw_accuracy"]).said()["fold_thresholds"]
    for fold in range(10):
        moved = rows.clone()
        own = drawn.rows[drawn.folds == fold].flatten().unique()
        moved[own] = torch.randn(len(own), 8, generator=torch.Generator().manual_seed(fold)).double()
        again = measured(spec, "test", side, moved, ["lfw_accuracy"]).said()["fold_thresholds"]
        assert again[fold] == plain[fold]
        assert again != plain


def test_classes_are_summed_by_the_first_picture_of_a_pair(pairs, side):
    spec = planned()
    rows, drawn = odd_fold(spec, side)
    found = measured(spec, "test", side, rows, ["lfw_accuracy", "eer"])
    sums = found.class_sums(side.labels, {"lfw_accuracy": None, "eer": None})
    assert sums.sums.keys() == {"lfw_accuracy"}
    right = dict(zip(sums.classes.tolist(), sums.sums["lfw_accuracy"].tolist(), strict=True))
    wanted = dict.fromkeys(right, 0.0)
    for (first, _), fold, genuine in zip(
        drawn.rows.tolist(), drawn.folds.tolist(), drawn.genuine.tolist(), strict=True
    ):
        wanted[int(side.labels[first])] += fold != 0 or not genuine
    assert right == wanted


def test_pairs_by_a_distance_of_the_method(pairs, side):
    spec = planned()
    rows = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 201)[:, None]
    by = {}
    for distance in ("cosine", "euclidean"):
        method = spec.method.model_copy(update={"distance": distance})
        by[distance] = measured(
            spec.model_copy(update={"method": method}), "test", side, rows, ["roc_auc"]
        ).metrics["roc_auc"]
    assert by["cosine"] != by["euclidean"]


def test_a_metric_of_rankings_has_no_place_among_pairs(pairs, side):
    with pytest.raises(UsageError, match="no metric of pairs named 'recall_at_1'"):
        measured(planned(), "test", side, torch.ones(200, 2), ["recall_at_1"])


def test_a_recipe_is_built_without_a_maker_in_sight(pairs, data):
    recipe = build_recipe(planned(), data.train)
    assert "domain" not in recipe.facts
    bare = dataclasses.replace(data.train, columns={})
    with pytest.raises(DataError, match="in which pairs differ"):
        build_recipe(planned(), bare)


def test_the_page_scores_faces_by_published_pairs(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "protocols" / "verification.md").read_text()
    (code,) = re.findall(r"```python\n# lfw.py\n(.*?)```", page, flags=re.DOTALL)
    people = [f"P{number:02}" for number in range(24)]
    paths = [f"{name}/{name}_{number:04}.jpg" for name in people for number in (1, 2)]
    lines = ["2\t6"]
    for own in (people[:12], people[12:]):
        lines += [f"{name}\t1\t2" for name in own[:6]]
        lines += [f"{own[number]}\t1\t{own[number + 6]}\t2" for number in range(6)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "faces.txt").write_text("\n".join(paths) + "\n")
    rows = np.eye(24).repeat(2, axis=0)
    rows[1] = rows[-1]  # one picture of somebody else
    np.save(tmp_path / "faces.npy", rows)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # One of twelve pairs of the first fold is lost: 11/12 and 1.
    assert f"'lfw_accuracy': {(11 / 12 + 1) / 2}" in done.stdout
    assert float(done.stdout.split()[-1]) == pytest.approx(1 / 24)
