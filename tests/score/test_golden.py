import json

import pytest
import torch

from dmlbench.score import METRICS, expression, low_shot, roc, score

from . import golden

PINNED = json.loads(golden.FILE.read_text())
FOUND = golden.golden()


def test_every_metric_of_every_version_is_pinned():
    assert {name.partition("/")[0] for name in PINNED} == {name.partition("/")[0] for name in FOUND}
    stems = {name.partition("/")[0] for name in PINNED}
    assert all({name, name.replace("K", "5")} & stems for name in METRICS)
    for versions in (roc.METRIC_VERSIONS, low_shot.METRIC_VERSIONS, expression.METRIC_VERSIONS):
        assert {name.replace("_F", "_1e-1") for name in versions} <= stems


@pytest.mark.parametrize("name", sorted(PINNED))
def test_no_number_moves_without_a_new_version(name):
    """k-means depends on the order of float32 sums, so clusterings are pinned less tightly."""
    metric = METRICS.get(name.partition("/")[0])
    tolerance = 0.05 if metric and metric.source == "clusters" else 1e-12
    assert FOUND[name] == pytest.approx(PINNED[name], abs=tolerance)


def test_the_data_tell_metrics_apart():
    values = [round(found["permuted"], 9) for found in PINNED.values()]
    assert len(set(values)) > 0.8 * len(values)
    tied = [found for name, found in PINNED.items() if "_at_" in name and "expected" in found]
    assert sum(len(set(found.values())) > 1 for found in tied) > 0.8 * len(tied)
    points, labels, _ = golden.data()
    assert score(points, labels, distance="euclidean", metrics=["recall_at_1"]).skipped == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("ties", ["permuted", "expected", "pessimistic"])
def test_golden_numbers_on_a_gpu(ties):
    points, labels, _ = golden.data()
    names = ["recall_at_1", "map_at_r", "map", "ndcg_at_10", "mrr"]
    found = score(points.cuda(), labels.cuda(), metrics=names, distance="euclidean", ties=ties).metrics
    assert found == pytest.approx({name: PINNED[f"{name}/1"][ties] for name in names}, abs=1e-6)
