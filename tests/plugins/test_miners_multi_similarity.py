import pytest
import torch
from dmlbench_plugins.miners.multi_similarity import multi_similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.miners import MultiSimilarityMiner

from . import reference

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def columns(tensor):
    return [tuple(column) for column in tensor.T.tolist()]


def test_four_vectors(four, pairs):
    found = multi_similarity(*pairs(*four))
    assert columns(found.positive) == [(1, 0), (2, 3)]
    assert columns(found.negative) == [(1, 2), (2, 1)]


@few
@seeds
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
def test_it_equals_a_plain_loop(batch, pairs, epsilon, seed):
    data = pairs(*batch(seed=seed))
    found = multi_similarity(*data, epsilon=epsilon)
    rows = zip(*(part.tolist() for part in data), strict=True)
    kept = [reference.mined_pairs(*row, epsilon) for row in rows]
    assert columns(found.positive) == [(i, j) for i, (p, _) in enumerate(kept) for j in p]
    assert columns(found.negative) == [(i, j) for i, (_, n) in enumerate(kept) for j in n]


@few
@seeds
def test_it_mines_what_pytorch_metric_learning_mines(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    a, p, b, n = MultiSimilarityMiner(epsilon=0.1)(rows, labels)
    found = multi_similarity(*pairs(rows, labels))
    assert set(columns(found.positive)) == set(columns(torch.stack([a, p])))
    assert set(columns(found.negative)) == set(columns(torch.stack([b, n])))


def test_refs_are_positions_among_the_refs(batch, pairs):
    data = pairs(*batch(classes=3, per_class=2, seed=5), *batch(classes=4, per_class=5, seed=6))
    found = multi_similarity(*data)
    assert found.positive.shape[1] > 0
    assert data[1][tuple(found.positive)].all()
    assert data[2][tuple(found.negative)].all()


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_none(four, pairs, labels):
    found = multi_similarity(*pairs(four[0], torch.tensor(labels)))
    assert found.positive.shape == found.negative.shape == (2, 0)


def test_what_is_nan_is_kept_for_a_loss_to_show(four, pairs):
    similarity, positives, negatives = pairs(*four)
    found = multi_similarity(similarity * torch.nan, positives, negatives)
    assert found.positive.shape[1] == positives.sum()
    assert found.negative.shape[1] == negatives.sum()
