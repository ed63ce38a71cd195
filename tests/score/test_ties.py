"""Tied items against what they stand for: every order of every tie group, looked at one by one."""

import itertools
import math
from statistics import fmean

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from dmlbench.errors import UsageError
from dmlbench.score import METRICS, metric, score
from dmlbench.score.overlap import Overlap
from dmlbench.score.places import NO_RANK, Ranks
from dmlbench.score.ties import TieGroups, pessimistic

from . import reference

CUT_OFFS = (1, 2, 3, 5, 50)
NO_CLOSED_FORM = {"map_hits_at_K", "map_voc", "map_voc_at_K", "wmap_at_K"}
NAMES = [
    name.replace("K", str(k))
    for name, entry in METRICS.items()
    if entry.source == "places" and name not in NO_CLOSED_FORM
    for k in (CUT_OFFS if name.endswith("K") else CUT_OFFS[:1])
]

# Relevance of each item, in groups that are tied.
rankings = st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=3).filter(
    lambda groups: any(any(group) for group in groups)
)


def tie_groups(groups, padding=0):
    above, tied, before = [], [], 0
    for group in groups:
        above += [before] * sum(group)
        tied += [len(group)] * sum(group)
        before += len(group)
    padded = torch.tensor([above + [NO_RANK] * padding]), torch.tensor([tied + [1] * padding])
    return TieGroups(*padded, torch.tensor([len(above)]))


def orders(groups):
    """Every ranking that the tie groups allow."""
    return (
        list(itertools.chain(*choice))
        for choice in itertools.product(*(list(itertools.permutations(group)) for group in groups))
    )


@given(rankings, st.integers(0, 3))
@settings(deadline=None, derandomize=True, max_examples=80)
def test_expected_is_the_mean_over_all_orders(groups, padding):
    places = tie_groups(groups, padding)
    found = [reference.metrics(row, CUT_OFFS) for row in orders(groups)]
    for name in NAMES:
        wanted = fmean(values[name] for values in found)
        assert metric(name)(places).item() == pytest.approx(wanted, abs=1e-12), name


@given(rankings)
@settings(deadline=None, derandomize=True, max_examples=80)
def test_pessimistic_is_the_worst_of_all_orders(groups):
    places = tie_groups(groups)
    ranks = pessimistic(places.above, places.tied, places.relevant)
    found = [reference.metrics(row, CUT_OFFS) for row in orders(groups)]
    for name in NAMES:
        assert metric(name)(ranks).item() == pytest.approx(min(v[name] for v in found), abs=1e-12), name


def test_the_worked_examples():
    assert metric("map")(tie_groups([[1, 1, 0], [0, 1]])).item() == pytest.approx(0.7620370370, abs=1e-10)
    assert metric("map")(tie_groups([[1, 0]])).item() == pytest.approx(0.75, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_without_ties_the_expectation_is_the_value(name):
    generator = torch.Generator().manual_seed(0)
    ranks = (
        torch.stack([torch.randperm(400, generator=generator)[:30] for _ in range(50)]).add(1).sort().values
    )
    relevant = torch.full((50,), 30)
    groups = TieGroups(ranks - 1, torch.ones_like(ranks), relevant)
    torch.testing.assert_close(metric(name)(groups), metric(name)(Ranks(ranks, relevant)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", sorted(NO_CLOSED_FORM - {"wmap_at_K"}))
def test_a_metric_without_a_closed_form_says_so_only_where_ties_are(name):
    named = metric(name.replace("K", "3"))
    with pytest.raises(UsageError, match="has no closed form over ties"):
        named(tie_groups([[True, False]]))
    assert named(tie_groups([[True], [False]])).item() == 1


def test_huge_tie_groups_keep_their_digits():
    """A collapsed model on a large gallery: chance, to many digits."""
    items, positives = 60_000, 30
    above, tied = torch.zeros(1, positives, dtype=torch.int64), torch.full((1, positives), items)
    places = TieGroups(above, tied, torch.tensor([positives]))
    none_in_1000 = math.prod((items - 1000 - i) / (items - i) for i in range(positives))
    assert metric("recall_at_1000")(places).item() == pytest.approx(1 - none_in_1000, rel=1e-8)
    assert metric("recall_at_1")(places).item() == pytest.approx(positives / items, rel=1e-6)
    assert metric("precision_at_10")(places).item() == pytest.approx(positives / items, rel=1e-12)
    chances = [positives / items]
    for p in range(1, items - positives + 1):
        chances.append(chances[-1] * (items - p - positives + 1) / (items - p))
    wanted = math.fsum(chance / p for p, chance in enumerate(chances, 1))
    assert metric("mrr")(places).item() == pytest.approx(wanted, rel=1e-6)


def test_a_constant_embedding_scores_chance_when_expected_and_nothing_at_worst():
    constant, labels = torch.ones(200, 4), torch.arange(20).repeat_interleave(10)
    names = ["recall_at_1", "precision_at_10", "map"]
    expected = score(constant, labels, metrics=names, ties="expected").metrics
    assert expected["recall_at_1"] == pytest.approx(9 / 199, abs=1e-12)
    assert expected["precision_at_10"] == pytest.approx(9 / 199, abs=1e-12)
    worst = score(constant, labels, metrics=names, ties="pessimistic").metrics
    assert worst["recall_at_1"] == worst["precision_at_10"] == 0
    assert worst["map"] < expected["map"]


@given(st.integers(0, 2**32), st.booleans())
@settings(deadline=None, derandomize=True, max_examples=20)
def test_scores_with_expected_ties_are_means_over_permutations(seed, multi_label):
    """Over seeds of the permutation, the values settle at what `expected` gives."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(0, 2, (14, 3), generator=generator).float()
    labels = torch.randint(0, 3, (14,), generator=generator)
    names = ["recall_at_2", "map", "ndcg_at_3"]
    if multi_label:
        labels = torch.randint(0, 2, (14, 3), generator=generator)
        labels[:, 0] |= labels.sum(dim=1) == 0
        names += ["acg_at_3", "ndcg_graded_at_3", "label_f1_at_4"]
    options = {"metrics": names, "distance": "euclidean", "lone": "zero"}
    expected = score(points, labels, ties="expected", **options).metrics
    seeds = [score(points, labels, tie_seed=s, **options).metrics for s in range(300)]
    for name in names:
        values = [found[name] for found in seeds]
        spread = math.sqrt(fmean((v - fmean(values)) ** 2 for v in values))
        assert abs(fmean(values) - expected[name]) <= 5 * spread / math.sqrt(300) + 1e-12, name


def test_graded_gains_of_tied_items_are_averaged_as_scikit_learn_does():
    gains = torch.tensor([[3.0, 1.0, 2.0, 1.0]])
    places = TieGroups(torch.tensor([[0, 2, 2, 5]]), torch.tensor([[2, 3, 3, 1]]), torch.tensor([4]))
    overlap = Overlap(gains.double(), torch.tensor([3]), torch.ones(1, 4, dtype=torch.int64))
    for k in (1, 2, 3, 4, 6):
        wanted = ndcg_score([[3, 0, 1, 2, 0, 1]], [[5, 5, 4, 4, 4, 3]], k=k)
        assert metric(f"ndcg_graded_at_{k}")(places, overlap).item() == pytest.approx(wanted, abs=1e-12)
