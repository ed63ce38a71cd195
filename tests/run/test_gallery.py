"""Runs whose data set says which test items ask: In-Shop's form, on a list of one's own."""

import csv
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dmlbench.data.gallery import roles_of
from dmlbench.data.split import split_items
from dmlbench.data.store import Prepared
from dmlbench.protocols import load_protocol, load_task
from dmlbench.run.directory import RunDirectory
from dmlbench.score import score

RULES = load_protocol("zero-shot-gallery/v1")


@pytest.fixture
def listed(project, class_folders):
    """24 training, 4 validation and 6 test classes; of each test class the first of four pictures ask."""
    class_folders(project / "photos", classes=34, each=4)
    split = ["train"] * 24 + ["validation"] * 4 + ["test"] * 6
    with (project / "items.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "label", "split", "role"])
        for number, part in enumerate(split):
            for n in range(4):
                role = "" if part != "test" else "query" if n == 0 else "gallery"
                lines.writerow([f"photos/class {number}/{n}.png", f"class {number}", part, role])
    return project


@pytest.fixture
def run(listed, dmlbench):
    def issue(*arguments):
        return dmlbench(
            *("run", "contrastive", "--task", "csv:items.csv", "--track", "tiny", "--profile", "smoke"),
            *("--protocol", "zero-shot-gallery/v1", "--jobs", 1, "--json", *arguments),
        )

    return issue


def test_the_protocol_is_that_of_the_field():
    assert (RULES.form, RULES.family, RULES.columns) == ("gallery", "zero-shot", ())
    assert {f"recall_at_{k}" for k in (1, 10, 20, 30)} <= {*RULES.metrics}
    assert RULES.gallery.dealt
    assert load_task("in-shop").protocol == RULES.id


@pytest.mark.parametrize("side", ["validation", "test"])
def test_queries_are_ranked_against_the_gallery_alone(listed, run, side):
    done = run(*(["--score-test"] if side == "test" else []))
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    directory = RunDirectory(listed / "runs" / record["run_key"])
    said = json.loads(directory.scores(side).read_text())["gallery"]
    assert said == ({"queries": 8, "gallery": 8} if side == "validation" else {"queries": 6, "gallery": 18})
    assert (record["queries"], record["lone_queries"]) == (said["queries"], 0)
    assert "modality_gap" not in record["metrics"]  # roles are no domains


def test_the_numbers_are_those_of_the_scorer(listed, run, dmlbench):
    done = run("--score-test")
    (record,) = json.loads(done.out)
    prepared = dmlbench("data", "prepare", "csv:items.csv", "--track", "tiny")
    data = Prepared.open(Path(prepared.out.rpartition(" in ")[2].strip()))
    part = data.test_labels()
    roles = roles_of(RULES.gallery, "test", part, "items")
    assert {part.paths[i].rpartition("/")[2] for i in roles.queries.tolist()} == {"0.png"}
    rows = load_file(RunDirectory(listed / "runs" / record["run_key"]).embeddings("test", "selected"))[
        "embeddings"
    ]
    wanted = score(
        rows[roles.queries],
        part.labels[roles.queries],
        gallery=rows[roles.gallery],
        gallery_labels=part.labels[roles.gallery],
        metrics=RULES.metrics,
        tie_seed=RULES.tie_seed,
    )
    assert record["metrics"] == wanted.metrics


def test_a_test_item_without_a_role_is_refused(listed, run):
    path = listed / "items.csv"
    path.write_text(path.read_text().replace(",test,query", ",test,", 1))
    done = run("--score-test")
    assert done.status == 1
    assert "items of role '' neither ask nor are asked" in done.err


def test_a_validation_item_without_a_role_is_refused_before_any_run(listed, run):
    path = listed / "items.csv"
    path.write_text(path.read_text().replace(",validation,", ",validation,somebody", 1))
    done = run()
    assert done.status == 2
    assert "somebody" in done.err
    assert not (listed / "runs").exists()


def test_data_without_roles_is_refused_before_any_run(listed, dmlbench):
    done = dmlbench("run", "contrastive", "--task", "tiny", "--protocol", RULES.id, "--profile", "smoke")
    assert done.status == 2
    assert "no column 'role', which says who asks" in done.err
    assert not (listed / "runs").exists()


def test_in_shop_keeps_its_queries_and_whole_pieces_validate():
    from dmlbench.api import Item

    items = [
        Item(path=f"{n}/{m}", label=f"{n}", group=f"{n}", part="train", columns={"role": ""})
        for n in range(800)
        for m in range(2)
    ]
    items += [
        Item(path=f"t{n}/{role}", label=f"t{n}", group=f"t{n}", part="test", columns={"role": role})
        for n in range(30)
        for role in ("query", "gallery")
    ]
    sides = split_items(items, load_task("in-shop").split)
    assert {side: len(own) for side, own in sides.items()} == {"train": 800, "validation": 800, "test": 60}
    assert {item.columns["role"] for item in sides["validation"]} == {""}
