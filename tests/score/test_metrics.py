import doctest
import math

import pytest
import torch

from dmlbench.score import (
    METRICS,
    classification,
    counting,
    distance,
    metric,
    metrics,
    places,
    positives,
    ranks,
    scores,
    sorting,
    ties,
)
from dmlbench.score.places import NO_RANK, Ranks

PLACES = Ranks(torch.tensor([[1, 3, 6], [2, NO_RANK, NO_RANK]]), torch.tensor([3, 1]))


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
        ("map_at_3", [(1 + 2 / 3) / 3, 1 / 2]),
        ("map_at_2", [1 / 3, 1 / 2]),
        ("map_min_at_2", [1 / 2, 1 / 2]),
        ("map_hits_at_2", [1, 1 / 2]),
        ("map_hits_at_1", [1, 0]),
        ("map_voc", [(1 + 2 / 3 + 3 / 6) / 3, 1 / 2]),
        ("map_voc_at_2", [1 / 2, 1 / 2]),
        ("ndcg_at_1", [1, 0]),
        ("ndcg_at_3", [1.5 / (1 + 1 / math.log2(3) + 0.5), 1 / math.log2(3)]),
        ("ndcg_at_100", [(1.5 + 1 / math.log2(7)) / (1 + 1 / math.log2(3) + 0.5), 1 / math.log2(3)]),
    ],
)
def test_metrics_of_known_ranks(name, values):
    found = metric(name)(PLACES)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(values, abs=1e-15)


RANKING = [name.replace("K", "3") for name, entry in METRICS.items() if entry.source == "places"]


@pytest.mark.parametrize("name", RANKING)
def test_a_perfect_ranking_gives_one(name):
    assert metric(name)(Ranks(torch.tensor([[1, 2, 3]]), torch.tensor([3]))).item() == pytest.approx(1)


def test_the_monotone_form_is_never_below_the_plain_one():
    generator = torch.Generator().manual_seed(0)
    shuffled = [torch.randperm(30, generator=generator)[:7].add(1).sort().values for _ in range(50)]
    rankings = Ranks(torch.stack(shuffled), torch.full((50,), 7))
    assert bool((metric("map_voc")(rankings) >= metric("map")(rankings) - 1e-15).all())
    assert torch.equal(metric("map_voc_at_30")(rankings), metric("map_voc")(rankings))
    assert torch.equal(metric("map_at_30")(rankings), metric("map")(rankings))


@pytest.mark.parametrize("name", RANKING)
def test_padding_does_not_change_a_bit(name):
    """How far a query's ranks are padded depends on who shares its block."""
    generator = torch.Generator().manual_seed(0)
    ranks = (
        torch.stack([torch.randperm(60, generator=generator)[:37] for _ in range(200)]).add(1).sort().values
    )
    relevant = torch.full((200,), 37)
    padded = torch.nn.functional.pad(ranks, (0, 90), value=NO_RANK)
    assert torch.equal(metric(name)(Ranks(ranks, relevant)), metric(name)(Ranks(padded, relevant)))


DOCUMENTED = [
    *(classification, counting, distance, metrics, places, positives, ranks, scores, sorting, ties),
]


@pytest.mark.parametrize("module", DOCUMENTED)
def test_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(module, extraglobs={"torch": torch, "Ranks": Ranks})
    assert failed == 0
    assert tried > 0
