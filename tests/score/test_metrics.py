import doctest

import pytest
import torch

from dmlbench.errors import UsageError
from dmlbench.score import METRICS, NO_RANK, distance, metric, metrics, positives, scores

RANKS = torch.tensor([[1, 3, 6], [2, NO_RANK, NO_RANK], [NO_RANK] * 3])
RELEVANT = torch.tensor([3, 1, 0])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("recall_at_1", [1, 0]),
        ("recall_at_2", [1, 1]),
        ("precision_at_1", [1, 0]),
        ("precision_at_3", [2 / 3, 1 / 3]),
        ("precision_at_100", [3 / 100, 1 / 100]),
        ("r_precision", [2 / 3, 0]),
        ("map_at_r", [(1 + 2 / 3) / 3, 0]),
        ("map", [(1 + 2 / 3 + 3 / 6) / 3, 1 / 2]),
        ("mrr", [1, 1 / 2]),
    ],
)
def test_metrics_of_known_ranks(name, values):
    found = metric(name)(RANKS, RELEVANT)
    assert found.dtype == torch.float64
    assert found[:2].tolist() == pytest.approx(values, abs=1e-15)
    assert found[2].isnan(), "a query without positives has no value"


@pytest.mark.parametrize("name", ["recall_at_1", "precision_at_1", "r_precision", "map_at_r", "map", "mrr"])
def test_a_perfect_ranking_gives_one(name):
    assert metric(name)(torch.tensor([[1, 2, 3]]), torch.tensor([3])).item() == 1


@pytest.mark.parametrize("name", ["r_precision", "map_at_r", "map", "mrr"])
def test_padding_does_not_change_a_bit(name):
    """How far a query's ranks are padded depends on who shares its block."""
    generator = torch.Generator().manual_seed(0)
    ranks = (
        torch.stack([torch.randperm(60, generator=generator)[:37] for _ in range(200)]).add(1).sort().values
    )
    relevant = torch.full((200,), 37)
    padded = torch.nn.functional.pad(ranks, (0, 90), value=NO_RANK)
    assert torch.equal(metric(name)(ranks, relevant), metric(name)(padded, relevant))


@pytest.mark.parametrize(
    "name",
    [
        "recall_at_K",
        "recall_at_0",
        "recall_at_08",
        "recall_at_",
        "recall_at_-1",
        "r_precision_at_5",
        "",
        "map@r",
    ],
)
def test_names_that_are_no_metric(name):
    with pytest.raises(UsageError, match="no metric named") as caught:
        metric(name)
    assert all(known in str(caught.value) for known in METRICS)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="near map_at_r"):
        metric("mapatr")


def test_every_metric_has_a_version():
    assert set(metrics.METRIC_VERSIONS) == set(METRICS)
    assert all(version >= 1 for version in metrics.METRIC_VERSIONS.values())


@pytest.mark.parametrize("module", [distance, metrics, positives, scores])
def test_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(module, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 0
