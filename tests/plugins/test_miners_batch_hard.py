import pytest
import torch
from dmlbench_plugins.miners.batch_hard import batch_hard
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.miners import BatchHardMiner

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def chosen(*data):
    return [tuple(column) for column in batch_hard(*data).indices.T.tolist()]


def test_four_vectors(four, pairs):
    assert chosen(*pairs(*four)) == [(0, 1, 2), (1, 0, 2), (2, 3, 1), (3, 2, 1)]


@few
@seeds
def test_it_equals_a_plain_loop(batch, pairs, seed):
    data = pairs(*batch(per_class=4, seed=seed))
    assert chosen(*data) == reference_pairs.batch_hard(*(part.tolist() for part in data))


@few
@seeds
def test_of_equally_similar_ones_the_first_is_chosen(batch, pairs, seed):
    similarity, positives, negatives = pairs(*batch(per_class=4, seed=seed))
    data = (2 * similarity).round() / 2, positives, negatives
    assert chosen(*data) == reference_pairs.batch_hard(*(part.tolist() for part in data))


@few
@seeds
def test_it_mines_what_pytorch_metric_learning_mines(batch, pairs, seed):
    rows, labels = batch(per_class=4, seed=seed)
    theirs = {tuple(column) for column in torch.stack(BatchHardMiner()(rows, labels)).T.tolist()}
    assert set(chosen(*pairs(rows, labels))) == theirs


def test_positives_and_negatives_are_positions_among_the_refs(batch, pairs):
    data = pairs(*batch(classes=3, per_class=2, seed=5), *batch(classes=4, per_class=5, seed=6))
    assert chosen(*data) == reference_pairs.batch_hard(*(part.tolist() for part in data))


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_no_triplets(four, pairs, labels):
    assert batch_hard(*pairs(four[0], torch.tensor(labels))).indices.shape == (3, 0)


def test_anchors_without_both_have_none(four, pairs):
    assert chosen(*pairs(four[0], torch.tensor([0, 0, 1, 2]))) == [(0, 1, 2), (1, 0, 2)]
