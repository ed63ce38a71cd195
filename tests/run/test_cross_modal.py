"""Runs whose queries are of one domain and whose gallery is of another: what is scored, what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score

from dmlbench.data.gallery import roles_of
from dmlbench.data.store import TEST_LABELS, TEST_ORDER, Part
from dmlbench.errors import DataError, SpecError, UsageError
from dmlbench.protocols import load_protocol, load_task
from dmlbench.results import classes as class_files
from dmlbench.run.assemble import build_recipe, embedded_images
from dmlbench.run.directory import RunDirectory
from dmlbench.run.embedding import embed
from dmlbench.run.measuring import measured
from dmlbench.run.planner import plan
from dmlbench.run.training import train
from dmlbench.score import fit_itq, score
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.toml import build_spec, parse_toml

PROTOCOL = """
id = "local/cross/v1"
status = "draft"
family = "cross-modal"
summary = "Line drawings ask for coloured ones, four looks."
task = "lines"
form = "gallery"
columns = ["domain"]
metrics = ["map", "recall_at_1", "precision_at_10", "bits64/map", "bits64/recall_at_1"]
primary = "map"
ties = "permuted"
tie_seed = 20260101
lone = "excluded"
selection = "validation"
validations = 4
extra_forwards = 1
gallery = { column = "domain", queries = ["line"], gallery = ["colour"], seed = 0 }

[profiles]
smoke = { seeds = 1, scores = "validation" }
"""
SPY = '''
"""A backbone that writes down what it is told of the images."""
import json

import torch
from torch import nn


class Spy(nn.Module):
    def __init__(self, image_channels):
        super().__init__()
        self.feature_dim = 64
        self.linear = nn.Linear(image_channels, 64)

    def forward(self, images, domain):
        with open("told.json", "a") as file:
            file.write(json.dumps(domain.tolist()) + "\\n")
        return self.linear(images.mean(dim=(2, 3))) * (1 + domain[:, None])
'''
PLUGIN = """
from dmlbench.api import BackbonePlugin, hookimpl


@hookimpl
def dmlbench_backbones():
    yield BackbonePlugin(id="spy", target="spies.parts:Spy")
"""
METHOD = """
id = "told"
summary = "A network that is told the domain."
fidelity = "baseline"
backbone = { component = "spies:spy" }
terms = { loss = { component = "contrastive" } }
"""


@pytest.fixture
def cross(project):
    """The tiny project with a task of two domains and a protocol for it."""
    local = project / "local"
    (local / "cross").mkdir()
    (local / "cross" / "v1.toml").write_text(PROTOCOL)
    for folder, changes in (
        ("tasks", {'dmlbench:emoji"': 'dmlbench:emoji-line-colour"', "local/tiny/v1": "local/cross/v1"}),
        ("tracks", {"dimension = 16": "dimension = 64", "dmlbench:pk": "dmlbench:pk-domains"}),
    ):
        text = (local / folder / "tiny.toml").read_text().replace('"tiny"', '"lines"')
        for old, new in {**changes, "{ per_class = 3 }": "{ per_domain = [1, 2] }"}.items():
            text = text.replace(old, new)
        (local / folder / "lines.toml").write_text(text)
    return project


@pytest.fixture
def run(cross, dmlbench):
    """Issue a run under it; the command's result and its records."""

    def issue(*arguments, protocol="local/cross/v1"):
        done = dmlbench(
            "run", *arguments, "--protocol", protocol, "--profile", "smoke", "--jobs", 1, "--json"
        )
        return done, json.loads(done.out) if done.out else []

    return issue


@pytest.fixture
def data(cross, prepared):
    """The task's prepared data."""
    return prepared("lines")


def planned(name="contrastive", **changes):
    spec = plan([name], protocol="local/cross/v1", task="lines", profile="smoke")[0].spec
    return spec.model_copy(update=changes)


# ---- the rules


def test_the_protocol_shows_domains_and_reports_real_values_and_codes_plain_and_voc():
    rules = load_protocol("cross-modal/v1")
    assert (rules.form, rules.family, rules.primary, rules.columns) == (
        "gallery",
        "cross-modal",
        "map",
        ("domain",),
    )
    assert rules.task == "emoji-line-colour"
    wanted = {f"{name}_at_{k}" for name in ("recall", "precision") for k in (1, 3, 10)}
    assert wanted | {"map", "map_voc", "bits64/map", "bits64/map_voc"} <= {*rules.metrics}
    # Sketchy with 21 unseen classes, and TU-Berlin.
    published = {"map_voc_at_200", "precision_at_200", "precision_at_100"}
    assert published | {f"bits64/{name}" for name in published} <= {*rules.metrics}
    assert load_protocol("zero-shot/v1").task == "emoji"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gallery": None}, "the form 'gallery' needs `gallery`"),
        ({"ties": None}, "the form 'gallery' needs `ties`"),
        ({"form": "self"}, "the form 'self' has no `gallery`"),
        ({"labels": "several"}, "queries ask for their class"),
        (
            {"gallery": {"column": "domain", "queries": ["line"], "gallery": ["colour", "line"], "seed": 0}},
            "items of domain 'line' would be found by themselves",
        ),
    ],
)
def test_a_form_has_what_it_needs_and_no_item_asks_for_itself(change, said):
    rules = {**parse_toml(PROTOCOL, place="rules"), **change}
    rules = {name: value for name, value in rules.items() if value is not None}
    with pytest.raises(SpecError, match=said):
        build_spec(Protocol, rules, place="rules")


def test_a_task_with_every_class_on_every_side_is_refused():
    assert load_task("grocery-tags").split.rule == "within-class"
    with pytest.raises(UsageError, match="cross-modal/v1 is about classes never seen"):
        plan(["contrastive"], protocol="cross-modal/v1", task="grocery-tags", profile="smoke")


def test_codes_need_as_many_dimensions_as_they_have_bits(cross):
    with pytest.raises(UsageError, match="codes of 64 bits need 64 dimensions, track tiny has 16"):
        plan(["contrastive"], protocol="local/cross/v1", task="lines", track="tiny", profile="smoke")


def test_data_whose_domains_neither_ask_nor_are_asked_is_refused_before_any_run(run, cross):
    done, records = run("contrastive", "--task", "tiny", "--track", "lines")
    assert (done.status, records) == (2, [])
    assert "domain 'noto' neither ask nor are asked" in done.err
    assert not (cross / "runs").exists()


def test_data_without_a_domain_is_refused_before_any_run(run, cross, class_folders):
    class_folders(cross / "photos", classes=20)
    done, _ = run("contrastive", "--task", "folder:photos", "--track", "lines")
    assert done.status == 2
    assert "no column 'domain', which says who asks" in done.err


@pytest.mark.parametrize("name", ["mathm", "mathm-conditioned"])
def test_a_method_that_needs_the_domain_is_refused_before_training_elsewhere(run, cross, name):
    done, records = run(name, "--task", "tiny", protocol="local/tiny/v1")
    assert (done.status, records) == (2, [])
    assert "asks for 'domain'" in done.err
    assert "cross-modal/v1" in done.err
    assert not (cross / "runs").exists()


# ---- words and pictures


def test_no_class_that_is_asked_for_trains_and_no_picture_is_found_by_itself(data):
    rules = planned().protocol.gallery
    sides = {"validation": data.validation, "test": data.test_labels()}
    trained = set(data.train.classes)
    for side, part in sides.items():
        roles = roles_of(rules, side, part, "lines")
        asked_for = {part.classes[label] for label in part.labels[roles.queries].tolist()}
        assert asked_for
        assert not asked_for & trained
        assert not {*roles.queries.tolist()} & {*roles.gallery.tolist()}
        assert {part.columns["hand"][item] for item in roles.queries.tolist()} == {"noto"}
        assert {part.columns["hand"][item] for item in roles.gallery.tolist()} == {"openmoji", "twemoji"}
    assert not set(sides["test"].classes) & {*data.validation.classes, *trained}


def test_training_and_embedding_do_without_the_test_labels(cross, data):
    directory = RunDirectory(cross / "run")
    directory.root.mkdir()
    directory.spec.write_text(planned("mathm-conditioned").to_json())
    hidden = (data.folder / TEST_LABELS).rename(cross / "aside.json")
    try:
        train(directory, data.folder, lambda message: None)
        embed(directory, data.folder, "test")
    finally:
        hidden.rename(data.folder / TEST_LABELS)
    rows = load_file(directory.embeddings("test", "selected"))["embeddings"]
    assert len(rows) == len(data.test_rows)


def test_of_test_images_a_backbone_is_told_the_domain_and_nothing_more(data):
    rows, columns = embedded_images(planned(), data, "test")
    assert rows.tolist() == data.test_rows.tolist()
    assert columns.keys() == {"domain"}
    hidden = data.test_labels().columns["domain"]
    assert columns["domain"].tolist() == [{"line": 0, "colour": 1}[domain] for domain in hidden]
    blind = planned().protocol.model_copy(update={"columns": (), "gallery": None, "form": "self"})
    assert embedded_images(planned(protocol=blind), data, "test")[1] == {}


def test_a_store_without_the_domains_of_its_test_items_says_so(data):
    path = data.folder / TEST_ORDER
    before = path.read_text()
    try:
        path.write_text(json.dumps({"rows": json.loads(before)["rows"]}))
        with pytest.raises(DataError, match="no domain of its test items"):
            embedded_images(planned(), data, "test")
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_a_domain_has_one_number_in_training_validation_and_test(cross, run, distribution, installed, data):
    installed(distribution("spies", PLUGIN, parts__py=SPY).site)
    (cross / "told.toml").write_text(METHOD)
    done, (record,) = run("./told.toml", "--score-test")
    assert done.status == 0, done.err
    told = [json.loads(line) for line in (cross / "told.json").read_text().splitlines()]
    # A batch has one line drawing and two in colour of each class; the sides one and two of each emoji.
    for domains in (told[0], [*told[-2], *told[-1]]):
        assert domains.count(1) == pytest.approx(2 * domains.count(0), rel=0.2)
    assert record["scored"] == "test"
    assert not record["on_track"]


# ---- scores


@pytest.mark.slow
@pytest.mark.parametrize("side", ["validation", "test"])
def test_the_numbers_of_a_run_are_those_of_scikit_learn(cross, run, data, side):
    done, records = run("contrastive", *(["--score-test"] if side == "test" else []))
    assert done.status == 0, done.err
    (record,) = records
    directory = RunDirectory(cross / "runs" / record["run_key"])
    part = data.test_labels() if side == "test" else data.validation
    line = np.array(part.columns["domain"]) == "line"
    embeddings = load_file(directory.embeddings(side, "selected"))["embeddings"]
    rows = embeddings.double().numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = part.labels.numpy()
    similarity, right = rows[line] @ rows[~line].T, labels[line][:, None] == labels[~line]
    found = record["metrics"]
    again = measured(planned(), side, part, embeddings, load_protocol("local/cross/v1").metrics)
    assert {**again.metrics, **again.gap} == found
    # Some emoji are drawn alike: scikit-learn has another rule for a right and a wrong one at a tie.
    plain = [
        np.abs(values[yes][:, None] - values[~yes]).min() > 1e-6
        for values, yes in zip(similarity, right, strict=True)
    ]
    assert sum(plain) > 20
    for query in np.flatnonzero(plain):
        order = right[query][np.argsort(-similarity[query])]
        wanted = {
            "map": average_precision_score(right[query], similarity[query]),
            "recall_at_1": float(order[0]),
            "precision_at_10": order[:10].mean(),
        }
        own = {name: float(again.plain.per_query[name][query]) for name in wanted}
        assert own == pytest.approx(wanted, abs=1e-9)
    assert (record["queries"], record["lone_queries"]) == (line.sum(), 0)
    assert found["modality_gap"] == pytest.approx(
        found["distance_across"] / found["distance_within"], abs=1e-9
    )
    assert found["distance_across"] == pytest.approx(
        np.mean([(1 - similarity[i][right[i]]).mean() for i in range(len(right))]), abs=1e-6
    )
    said = json.loads(directory.scores(side).read_text())["gallery"]
    assert said == {"queries": line.sum(), "gallery": (~line).sum()}
    sums = class_files.read(directory.classes(side), record["classes"])
    assert sum(sums.counts) == line.sum()
    assert sums.mean("map") == pytest.approx(found["map"], abs=1e-12)
    if side == "validation":
        assert max(value for _, value in record["validation"]) == found["map"]


@pytest.fixture
def side():
    """Thirty classes of two queries and three gallery items, and gallery items that nobody asks for."""
    labels = torch.cat([torch.arange(30).repeat_interleave(5), torch.arange(30, 60)])
    classes = tuple(f"class{label:02}" for label in range(60))
    domain = ["line", "line", "colour", "colour", "colour"] * 30 + ["colour"] * 30
    return Part(torch.arange(180), labels, classes, {"domain": domain})


def embeddings(side, dim=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(60, dim, generator=generator)
    return centres[side.labels] + 1.5 * torch.randn(180, dim, generator=generator)


def test_codes_are_fitted_to_the_gallery_and_ranked_by_the_hamming_distance(cross, side):
    rows = embeddings(side)
    asks = torch.tensor([domain == "line" for domain in side.columns["domain"]])
    found = measured(planned(), "test", side, rows, ["map", "bits64/map", "bits64/recall_at_1"])
    itq = fit_itq(rows[~asks], 64, seed=0)
    wanted = score(
        itq.codes(rows[asks]),
        side.labels[asks],
        gallery=itq.codes(rows[~asks]),
        gallery_labels=side.labels[~asks],
        metrics=["map", "recall_at_1"],
        distance="hamming",
        ties="permuted",
        tie_seed=20260101,
    )
    assert [*found.metrics] == ["map", "bits64/map", "bits64/recall_at_1"]
    assert {
        f"bits64/{name}": value for name, value in wanted.metrics.items()
    }.items() <= found.metrics.items()
    assert found.metrics["bits64/map"] < found.metrics["map"]
    # What a query is by itself does not move the codes of others.
    moved = rows.clone()
    moved[0] += 100
    again = measured(planned(), "test", side, moved, ["map", "bits64/map"])
    assert torch.equal(again.plain.per_query["map"][1:], found.plain.per_query["map"][1:])


def test_items_that_nobody_asks_for_are_in_the_way(cross, side):
    rows = embeddings(side)
    keep = side.labels < 30
    columns = {"domain": [d for d, kept in zip(side.columns["domain"], keep.tolist(), strict=True) if kept]}
    fewer = Part(side.rows[keep], side.labels[keep], side.classes, columns)
    crowded = measured(planned(), "test", side, rows, ["map"])
    alone = measured(planned(), "test", fewer, rows[keep], ["map"])
    assert crowded.metrics["map"] < alone.metrics["map"]
    assert (crowded.queries, crowded.skipped) == (alone.queries, alone.skipped) == (60, 0)


def test_a_query_is_never_in_its_own_ranking(cross, side):
    rows = embeddings(side)
    asks = torch.tensor([domain == "line" for domain in side.columns["domain"]])
    # Queries of a class are one point, far from the gallery items of their class: among themselves all right.
    rows[asks] = torch.eye(64)[:30].repeat_interleave(2, dim=0)
    rows[~asks] = -torch.eye(64)[side.labels[~asks] % 30] + 0.01 * rows[~asks]
    assert measured(planned(), "test", side, rows, ["recall_at_1"]).metrics["recall_at_1"] == 0


def test_classes_are_summed_by_what_the_queries_are(cross, side):
    found = measured(planned(), "test", side, embeddings(side), ["map"])
    sums = found.class_sums(side.labels, ["map"])
    assert sums.classes.tolist() == list(range(30))
    assert sums.counts.tolist() == [2] * 30
    assert float(sums.sums["map"].sum()) / 60 == pytest.approx(found.metrics["map"], abs=1e-12)


def test_a_recipe_is_built_only_where_items_say_who_asks(cross, data):
    assert build_recipe(planned("mathm"), data.train)
    bare = Part(data.train.rows, data.train.labels, data.train.classes, {})
    with pytest.raises(DataError, match="no column 'domain'"):
        build_recipe(planned("mathm"), bare)


def test_the_page_names_every_metric_of_the_protocol():
    text = (Path(__file__).parents[2] / "docs" / "protocols" / "cross-modal.md").read_text()
    names = {*load_protocol("cross-modal/v1").metrics}
    assert names - {*re.findall(r"`([^`\n]+)`", text)} == set()
