"""docs/metrics.md says what the code does."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from dmlbench.errors import UsageError
from dmlbench.score import METRICS, expression, low_shot, metric, roc, score
from dmlbench.score.clustering import CLUSTERING_METRICS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
VERSIONS = {
    **{name: entry.version for name, entry in METRICS.items()},
    **roc.METRIC_VERSIONS,
    **low_shot.METRIC_VERSIONS,
    **expression.METRIC_VERSIONS,
}


@pytest.fixture(scope="module")
def peers():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    return importlib.import_module("peers")


def cells(text):
    """The rows of all tables, heads left out."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_metric_is_documented_with_its_version():
    documented = {(row[0], row[1]) for row in cells(PAGE)}
    missing = [name for name, version in VERSIONS.items() if (f"`{name}`", str(version)) not in documented]
    assert missing == []


def test_every_metric_that_is_documented_exists():
    documented = {row[0].strip("`") for row in cells(PAGE) if row[1].isdigit()}
    assert documented == set(VERSIONS)


def test_every_name_with_a_cut_off_on_the_page_is_a_metric():
    for name in re.findall(r"`([a-z_]+_at_[0-9]+)`", PAGE):
        try:
            metric(name)
        except UsageError:
            pytest.fail(f"{name} is on the page and is no metric")


def test_the_worked_example_has_the_numbers_of_the_page():
    rows = cells(PAGE.partition("## Worked example")[2].partition("##")[0])
    points = torch.tensor([0, 1, 2.1, 3.3, 4.6, 6, 7.5, 9.1], dtype=torch.float64)[:, None]
    labels = torch.tensor([0, 1, 0, 0, 1, 1, 2, 0])
    found = score(points, labels, metrics=[row[0].strip("`") for row in rows], distance="euclidean")
    assert [f"{value:.10f}" for value in found.metrics.values()] == [row[1] for row in rows]


def shown(peers):
    return cells(PAGE.partition(peers.START)[2].partition(peers.END)[0])


def test_the_peers_on_the_page_are_the_rows_of_the_script(peers):
    found = [(row[0], row[2], row[5]) for row in shown(peers)]
    assert found == [(*row.key, row.why) for row in peers.ROWS]
    assert len(set(found)) == len(found)


def test_the_peers_on_the_page_stand_beside_the_numbers_of_today(peers):
    for row, made in zip(shown(peers), peers.ROWS, strict=True):
        # k-means gives other clusters on another machine.
        if made.metric not in CLUSTERING_METRICS:
            ours = peers.our_number(made.metric, made.given(), **made.ours)
            assert float(row[1]) == pytest.approx(ours, abs=1e-6), made.key
