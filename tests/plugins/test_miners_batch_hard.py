import math

import pytest
import torch
from dmlbench_plugins.losses.triplet_soft_margin import triplet_soft_margin
from dmlbench_plugins.miners.batch_hard import batch_hard
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.miners import BatchHardMiner

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def chosen(*data, progress=0.5, **options):
    return [tuple(column) for column in batch_hard(*data, progress, **options).indices.T.tolist()]


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
    assert batch_hard(*pairs(four[0], torch.tensor(labels)), 0.5).indices.shape == (3, 0)


def test_anchors_without_both_have_none(four, pairs):
    assert chosen(*pairs(four[0], torch.tensor([0, 0, 1, 2]))) == [(0, 1, 2), (1, 0, 2)]


# ---- the start


def test_while_it_warms_up_the_negative_is_the_nearest_beyond_the_positive():
    similarity = torch.tensor([[0.3, 0.7, 0.9, 0.2, 0.1]])
    positives = torch.tensor([[True, True, False, False, False]])
    data = similarity, positives, ~positives
    assert chosen(*data, progress=0.29, warm_up=0.3) == [(0, 0, 3)]
    assert chosen(*data, progress=0.30, warm_up=0.3) == [(0, 0, 2)]
    assert chosen(*data, progress=0.0) == [(0, 0, 2)]


def test_an_anchor_whose_negatives_are_all_nearer_waits_until_then():
    similarity = torch.tensor([[0.3, 0.7]])
    positives = torch.tensor([[True, False]])
    assert chosen(similarity, positives, ~positives, progress=0.1, warm_up=0.3) == []


def test_from_a_random_start_everything_collapses_unless_it_warms_up(pairs):
    """Why the method's recipe departs from the paper, which began with a network that had been trained.

    Where the farthest positive is farther than the nearest negative for most anchors, the quickest way down
    is to put all rows in one place: the loss comes down to log 2, and no farther.
    """

    def trained(warm_up):
        generator = torch.Generator().manual_seed(0)
        centres, labels = torch.randn(40, 32, generator=generator), torch.arange(120) // 3
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 32))
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
        for step in range(300):
            images = centres[labels] + 1.3 * torch.randn(120, 32, generator=generator)
            unit = torch.nn.functional.normalize(network(images), dim=1)
            similarity, positives, negatives = pairs(unit, labels)
            mined = batch_hard(similarity.detach(), positives, negatives, step / 300, warm_up=warm_up)
            loss = triplet_soft_margin(unit, unit, mined)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.item(), similarity[negatives].mean().item()

    loss, nearness = trained(warm_up=0.0)
    assert loss == pytest.approx(math.log(2), abs=0.01)
    assert nearness > 0.95
    loss, nearness = trained(warm_up=0.5)
    assert loss < math.log(2) - 0.015
    assert nearness < 0.6
