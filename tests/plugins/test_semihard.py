import pytest
import torch
from dmlbench_plugins.miners.semihard import semihard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from . import reference

few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def chosen(*arguments, **options):
    return [tuple(column) for column in semihard(*arguments, **options).indices.T.tolist()]


def expected(similarity, positives, negatives, margin):
    return reference.semihard(similarity.tolist(), positives.tolist(), negatives.tolist(), margin)


def row(*distances):
    """The cosines of one anchor to refs at these squared distances."""
    return torch.tensor([[1 - d / 2 for d in distances]], dtype=torch.float64)


class LargestTensor(TorchDispatchMode):
    """How many elements the largest tensor has that is made inside."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return made


def test_the_nearest_negative_beyond_the_positive_is_chosen():
    similarity = row(0.5, 0.25, 0.625, 0.5625, 1.5)
    positives = torch.tensor([[True, False, False, False, False]])
    assert chosen(similarity, positives, ~positives) == [(0, 0, 3)]


@pytest.mark.parametrize("distance", [0.25, 0.5, 0.75, 1.0])
def test_a_negative_nearer_than_the_positive_as_near_or_beyond_the_margin_is_not(distance):
    positives = torch.tensor([[True, False]])
    assert chosen(row(0.5, distance), positives, ~positives, margin=0.25) == []


def test_a_wider_margin_finds_negatives_further_away():
    positives = torch.tensor([[True, False]])
    assert chosen(row(0.5, 0.75), positives, ~positives, margin=0.5) == [(0, 0, 1)]


@few
@seeds
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_it_equals_a_plain_loop(batch, pairs, margin, seed):
    data = pairs(*batch(classes=5, per_class=4, seed=seed))
    assert chosen(*data, margin=margin) == expected(*data, margin)


@few
@seeds
def test_it_equals_a_plain_loop_where_many_distances_are_equal(batch, pairs, seed):
    similarity, positives, negatives = pairs(*batch(classes=4, per_class=4, seed=seed))
    coarse = (8 * similarity).round() / 8
    found = chosen(coarse, positives, negatives, margin=0.5)
    assert found
    assert found == expected(coarse, positives, negatives, 0.5)


@few
@seeds
def test_positives_and_negatives_are_positions_among_the_refs(batch, pairs, seed):
    rows, labels = batch(classes=3, per_class=2, seed=seed)
    refs, ref_labels = batch(classes=4, per_class=5, seed=seed + 1)
    data = pairs(rows, labels, refs, ref_labels)
    assert chosen(*data, margin=0.6) == expected(*data, 0.6)


def test_pairs_that_are_neither_positive_nor_negative_are_left_alone(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=3))
    positives[:, 0] = negatives[:, 1] = False
    found = chosen(similarity, positives, negatives, margin=1.0)
    assert found == expected(similarity, positives, negatives, 1.0)
    assert all(p != 0 and n != 1 for _, p, n in found)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_no_triplets(four, pairs, labels):
    found = semihard(*pairs(four[0], torch.tensor(labels)), margin=4.0)
    assert len(found) == 0
    assert found.indices.shape == (3, 0)


def test_a_collapsed_batch_has_no_triplets(pairs):
    rows = torch.tensor([[0.6, 0.8]] * 6, dtype=torch.float64)
    assert len(semihard(*pairs(rows, torch.arange(6) // 2))) == 0


def test_memory_grows_with_pairs_not_with_triplets(batch, pairs):
    data = pairs(*batch(classes=24, per_class=4, seed=0))
    with LargestTensor() as largest:
        semihard(*data, margin=1.0)
    assert 96 * 96 <= largest.elements <= 3 * 96 * 96
