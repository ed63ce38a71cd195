import math

import pytest
import torch
from dmlbench_plugins.losses.triplet_euclidean import triplet_euclidean
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer

from dmlbench.api import Triplets

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

POINTS = torch.tensor([(0, 0), (1, 0), (0, 2), (3, 0), (3, 4), (0, 1)], dtype=torch.float64)
CHOSEN = Triplets(torch.tensor([[0, 0], [5, 1], [3, 3]]))


@pytest.fixture(scope="session")
def some_triplets(pairs):
    def make(rows, labels):
        _, positives, negatives = pairs(rows, labels)
        return Triplets((positives[:, :, None] & negatives[:, None, :]).nonzero().T[:, ::2])

    return make


def test_two_open_hinges_worked_out_by_hand():
    assert triplet_euclidean(POINTS, POINTS, CHOSEN, margin=2.5).item() == pytest.approx(0.5, abs=1e-12)


def test_closed_hinges_cost_nothing_and_move_nothing():
    rows = POINTS.clone().requires_grad_()
    loss = triplet_euclidean(rows, rows, CHOSEN, margin=0.2)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_the_divisor_counts_closed_hinges_too():
    chosen = Triplets(torch.tensor([[0, 0], [3, 1], [5, 3]]))
    # 3 - 1 + 0.5 is open, 1 - 3 + 0.5 is closed.
    assert triplet_euclidean(POINTS, POINTS, chosen, margin=0.5).item() == pytest.approx(2.5 / 2, abs=1e-12)


@few
@seeds
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_it_equals_a_plain_loop_and_pytorch_metric_learning(batch, some_triplets, margin, seed):
    rows, labels = batch(seed=seed)
    rows = 3 * rows
    chosen = some_triplets(rows, labels)
    f = rows.tolist()
    terms = [
        max(0.0, math.dist(f[a], f[p]) - math.dist(f[a], f[n]) + margin)
        for a, p, n in chosen.indices.T.tolist()
    ]
    found = triplet_euclidean(rows, rows, chosen, margin=margin).item()
    assert found == pytest.approx(sum(terms) / len(terms), rel=1e-10)
    theirs = TripletMarginLoss(
        margin=margin, distance=LpDistance(normalize_embeddings=False), reducer=MeanReducer()
    )
    assert found == pytest.approx(theirs(rows, labels, tuple(chosen.indices)).item(), rel=1e-8)


def test_positives_and_negatives_are_taken_from_the_refs(batch):
    rows, refs = batch(classes=3, per_class=1, seed=5)[0], batch(seed=6)[0]
    found = triplet_euclidean(rows, refs, Triplets(torch.tensor([[0], [3], [11]])), margin=3.0)
    expected = (rows[0] - refs[3]).norm() - (rows[0] - refs[11]).norm() + 3
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)


def test_gradients_agree_with_finite_differences(batch, some_triplets):
    rows, labels = batch(seed=1)
    chosen = some_triplets(rows, labels)
    inputs = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: triplet_euclidean(x, x, chosen, margin=0.3), (inputs,))


def test_no_triplets_means_nothing_to_count():
    assert triplet_euclidean(POINTS, POINTS, Triplets(torch.zeros(3, 0, dtype=torch.int64))) is None


def test_identical_rows_cost_the_margin_and_have_a_finite_gradient():
    rows = torch.ones(3, 4, requires_grad=True)
    loss = triplet_euclidean(rows, rows, Triplets(torch.tensor([[0], [1], [2]])), margin=0.2)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert torch.equal(rows.grad, torch.zeros_like(rows))
