"""Clusters inside classes against hidden sub-classes: by hand, plain loops, scikit-learn, enumeration."""

import doctest
import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from dmlbench.errors import DataError
from dmlbench.score import subclasses
from dmlbench.score.subclasses import agreement, clustered, nearest_within, purity

CLASSES = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])
HIDDEN = torch.tensor([0, 0, 1, 1, 5, 6, 6, 9, 9])
CLUSTERS = torch.tensor([3, 3, 3, 4, 3, 4, 4, 3, 4])

items = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40)


def by_loops(classes, hidden, clusters) -> float | None:
    """Purity of the classes that have two sub-classes."""
    counted = right = 0
    for own in set(classes):
        rows = [(h, k) for c, h, k in zip(classes, hidden, clusters, strict=True) if c == own]
        if len({h for h, _ in rows}) < 2:
            continue
        counted += len(rows)
        for cluster in {k for _, k in rows}:
            right += max(Counter(h for h, k in rows if k == cluster).values())
    return right / counted if counted else None


def test_the_docstrings_are_right():
    assert doctest.testmod(subclasses).failed == 0


def test_purity_worked_out_by_hand():
    # Class 0: clusters {0, 0, 1} and {1}, class 1: {5} and {6, 6}; class 2 has one sub-class and is left out.
    found = agreement(CLASSES, HIDDEN, CLUSTERS, seed=0)
    assert found["purity"] == pytest.approx((2 + 1 + 1 + 2) / 7, abs=1e-15)


def test_a_cluster_number_means_another_cluster_in_another_class():
    whole = torch.zeros_like(CLASSES)
    assert agreement(CLASSES, HIDDEN, whole, seed=0)["purity"] == pytest.approx((2 + 2) / 7, abs=1e-15)
    assert purity(HIDDEN[:7], whole[:7]) == pytest.approx(2 / 7, abs=1e-15)


@given(items)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_all_agree_with_plain_loops_and_scikit_learn(rows):
    classes, hidden, clusters = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = agreement(classes, hidden, clusters, seed=1)
    expected = by_loops(*(column.tolist() for column in (classes, hidden, clusters)))
    if expected is None:
        assert found == {}
        return
    assert found["purity"] == pytest.approx(expected, abs=1e-12)
    kept = [own for own in classes.unique() if len(hidden[classes == own].unique()) > 1]
    sizes = [int((classes == own).sum()) for own in kept]
    theirs = {
        "nmi": [
            normalized_mutual_info_score(hidden[classes == own], clusters[classes == own]) for own in kept
        ],
        "ami": [adjusted_mutual_info_score(hidden[classes == own], clusters[classes == own]) for own in kept],
    }
    for name, values in theirs.items():
        mean = sum(size * value for size, value in zip(sizes, values, strict=True)) / sum(sizes)
        assert found[name] == pytest.approx(mean, abs=1e-9)


def test_chance_is_the_mean_over_all_ways_to_deal_the_sub_classes(monkeypatch):
    """Against every permutation of one class, enumerated."""
    monkeypatch.setattr(subclasses, "DRAWS", 4000)
    hidden, clusters = [0, 0, 1, 1, 2], [7, 7, 7, 8, 8]
    exact = [by_loops([0] * 5, order, clusters) for order in itertools.permutations(hidden)]
    found = agreement(torch.zeros(5, dtype=torch.int64), torch.tensor(hidden), torch.tensor(clusters), seed=0)
    spread = math.sqrt(sum((value - sum(exact) / len(exact)) ** 2 for value in exact) / len(exact))
    assert found["purity_chance"] == pytest.approx(sum(exact) / len(exact), abs=4 * spread / math.sqrt(4000))


def test_chance_never_deals_across_classes():
    """Two sub-classes of two items in two of three classes, each item a cluster: any deal gives 1."""
    alone = torch.arange(len(CLASSES))
    assert agreement(CLASSES, HIDDEN, alone, seed=0)["purity_chance"] == 1
    # One cluster a class: whatever is dealt inside a class, its commonest sub-class stays what it is.
    whole = torch.zeros_like(CLASSES)
    assert agreement(CLASSES, HIDDEN, whole, seed=0)["purity_chance"] == pytest.approx(4 / 7, abs=1e-15)


def test_sub_classes_that_lie_apart_are_found_and_random_points_are_at_chance():
    generator = torch.Generator().manual_seed(3)
    classes = torch.arange(3).repeat_interleave(40)
    hidden = 4 * classes + torch.arange(4).repeat(30)
    centres = 50 * torch.randn(12, 6, generator=generator)
    near = centres[hidden] + torch.randn(120, 6, generator=generator)
    found = clustered(near, classes, hidden, "euclidean", seed=0)
    # One start of k-means may leave two blobs in one cluster: the mean over starts is no 1.
    assert found["purity"] > 0.75
    assert found["purity"] > 2 * found["purity_chance"]
    nowhere = clustered(torch.randn(120, 6, generator=generator), classes, hidden, "euclidean", seed=0)
    assert nowhere["purity"] == pytest.approx(nowhere["purity_chance"], abs=0.08)
    assert abs(nowhere["ami"]) < 0.1


def test_cosine_looks_at_directions_alone():
    generator = torch.Generator().manual_seed(3)
    classes = torch.zeros(60, dtype=torch.int64)
    hidden = torch.arange(3).repeat(20)
    lengths = torch.rand(60, 1, generator=generator).mul(9).exp()
    points = (torch.eye(3)[hidden] + 0.05 * torch.randn(60, 3, generator=generator)) * lengths
    assert clustered(points, classes, hidden, "cosine", seed=0)["ami"] == pytest.approx(1)
    assert clustered(points, classes, hidden, "euclidean", seed=0)["ami"] < 0.5


def test_an_item_goes_to_the_nearest_cluster_of_its_own_class():
    known = torch.tensor([[0.0], [1.0], [10.0], [4.0], [6.0], [5.4]])
    found = nearest_within(
        torch.tensor([[4.9], [4.9], [4.9], [4.9]]),
        torch.tensor([0, 1, 2, 3]),
        known,
        torch.tensor([0, 0, 0, 1, 1, 2]),
        torch.tensor([10, 10, 11, 12, 13, -1]),
        "euclidean",
    )
    # Class 0 has means 0.5 and 10, class 1 has 4 and 6; class 2 is left out, and nobody knows class 3.
    assert found.tolist() == [10, 12, -1, -1]


def test_no_items_are_an_error():
    with pytest.raises(DataError):
        purity(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64))
