import pytest
import torch
from dmlbench_plugins.losses.triplet import triplet
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch.nn import functional

from dmlbench.api import Triplets

from . import reference

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


@pytest.fixture(scope="session")
def all_triplets(pairs):
    """Every (anchor, positive, negative) of a batch."""

    def make(rows, labels):
        _, positives, negatives = pairs(rows, labels)
        return Triplets((positives[:, :, None] & negatives[:, None, :]).nonzero().T)

    return make


def test_two_triplets_worked_out_by_hand(four):
    rows, _ = four
    # 0.4 - 0.8 + 0.2 is closed; 0.4 - 0.08 + 0.2 is open; the divisor counts both.
    chosen = Triplets(torch.tensor([[0, 1], [1, 0], [2, 2]]))
    assert triplet(rows, rows, chosen).item() == pytest.approx(0.52 / 2, abs=1e-12)


@few
@seeds
@pytest.mark.parametrize("margin", [0.2, 0.7])
def test_it_equals_a_plain_loop(batch, all_triplets, margin, seed):
    rows, labels = batch(seed=seed)
    chosen = all_triplets(rows, labels)
    expected = reference.triplet(rows.tolist(), rows.tolist(), chosen.indices.T.tolist(), margin)
    assert triplet(rows, rows, chosen, margin=margin).item() == pytest.approx(expected, rel=1e-10)


def test_positives_and_negatives_are_taken_from_the_refs(batch):
    rows, refs = batch(classes=3, per_class=1, seed=5)[0], batch(seed=6)[0]
    chosen = [(0, 3, 11), (2, 0, 7)]
    found = triplet(rows, refs, Triplets(torch.tensor(chosen).T), margin=3.0)
    assert found.item() == pytest.approx(
        reference.triplet(rows.tolist(), refs.tolist(), chosen, 3.0), rel=1e-10
    )


@few
@seeds
def test_it_equals_pytorch_metric_learning_on_the_same_triplets(batch, all_triplets, seed):
    rows, labels = batch(seed=seed)
    chosen = all_triplets(rows, labels)
    theirs = TripletMarginLoss(margin=0.2, distance=LpDistance(power=2), reducer=MeanReducer())
    expected = theirs(rows, labels, tuple(chosen.indices))
    assert triplet(rows, rows, chosen).item() == pytest.approx(expected.item(), rel=1e-8)


def test_gradients_agree_with_finite_differences(batch, all_triplets):
    rows, labels = batch(seed=1)
    chosen = all_triplets(rows, labels)

    def loss(raw):
        unit = functional.normalize(raw, dim=1)
        return triplet(unit, unit, chosen, margin=0.3)

    assert torch.autograd.gradcheck(loss, (1.7 * rows).requires_grad_())


def test_no_triplets_means_nothing_to_count(four):
    rows, _ = four
    assert triplet(rows, rows, Triplets(torch.zeros(3, 0, dtype=torch.int64))) is None


def test_identical_rows_cost_the_margin_and_have_a_finite_gradient():
    rows = torch.ones(3, 4, requires_grad=True)
    loss = triplet(rows, rows, Triplets(torch.tensor([[0], [1], [2]])), margin=0.2)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert rows.grad.isfinite().all()
