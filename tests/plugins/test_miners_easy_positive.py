import pytest
import torch
from dmlbench_plugins.miners.easy_positive import easy_positive
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.miners import BatchEasyHardMiner

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
kinds = pytest.mark.parametrize("negative", ["semihard", "hard"])


def chosen(*data, **options):
    return [tuple(column) for column in easy_positive(*data, **options).indices.T.tolist()]


def test_the_nearest_positive_and_the_nearest_negative_beyond_it():
    similarity = torch.tensor([[0.3, 0.7, 0.9, 0.6, 0.1]])
    positives = torch.tensor([[True, True, False, False, False]])
    assert chosen(similarity, positives, ~positives) == [(0, 1, 3)]
    assert chosen(similarity, positives, ~positives, negative="hard") == [(0, 1, 2)]


def test_an_anchor_whose_negatives_are_all_nearer_has_no_semihard_triplet():
    similarity = torch.tensor([[0.3, 0.7]])
    positives = torch.tensor([[True, False]])
    assert chosen(similarity, positives, ~positives) == []
    assert chosen(similarity, positives, ~positives, negative="hard") == [(0, 0, 1)]


@few
@seeds
@kinds
def test_it_equals_a_plain_loop(batch, pairs, negative, seed):
    data = pairs(*batch(per_class=4, seed=seed))
    expected = reference_pairs.easy_positive(*(part.tolist() for part in data), negative)
    assert chosen(*data, negative=negative) == expected


@few
@seeds
@kinds
def test_it_equals_a_plain_loop_where_many_similarities_are_equal(batch, pairs, negative, seed):
    similarity, positives, negatives = pairs(*batch(per_class=4, seed=seed))
    data = (2 * similarity).round() / 2, positives, negatives
    expected = reference_pairs.easy_positive(*(part.tolist() for part in data), negative)
    assert chosen(*data, negative=negative) == expected


@few
@seeds
@kinds
def test_it_mines_what_pytorch_metric_learning_mines(batch, pairs, negative, seed):
    rows, labels = batch(per_class=4, seed=seed)
    a, p, _, n = BatchEasyHardMiner(pos_strategy="easy", neg_strategy=negative)(rows, labels)
    theirs = {tuple(column) for column in torch.stack([a, p, n]).T.tolist()}
    assert set(chosen(*pairs(rows, labels), negative=negative)) == theirs


@kinds
def test_positives_and_negatives_are_positions_among_the_refs(batch, pairs, negative):
    data = pairs(*batch(classes=3, per_class=2, seed=5), *batch(classes=4, per_class=5, seed=6))
    expected = reference_pairs.easy_positive(*(part.tolist() for part in data), negative)
    assert chosen(*data, negative=negative) == expected


@kinds
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_no_triplets(four, pairs, labels, negative):
    found = easy_positive(*pairs(four[0], torch.tensor(labels)), negative=negative)
    assert found.indices.shape == (3, 0)


def test_a_class_in_two_clusters_is_not_pulled_together(pairs):
    """What it is for: no chosen positive lies in the other cluster of the class."""
    generator = torch.Generator().manual_seed(0)
    cluster = torch.arange(24) % 4  # clusters 0 and 1 of class 0, 2 and 3 of class 1
    rows = torch.eye(4)[cluster] + 0.1 * torch.randn(24, 4, generator=generator)
    found = easy_positive(*pairs(torch.nn.functional.normalize(rows, dim=1), cluster // 2))
    a, p, _ = found.indices
    assert len(a) == 24
    assert torch.equal(cluster[a], cluster[p])
