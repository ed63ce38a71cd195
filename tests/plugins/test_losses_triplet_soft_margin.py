import math

import pytest
import torch
from dmlbench_plugins.losses.triplet_soft_margin import triplet_soft_margin
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch.nn import functional

from dmlbench.api import Triplets

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
compared = pytest.mark.parametrize("compared_by", ["distance", "similarity"])


@pytest.fixture(scope="session")
def all_triplets(pairs):
    """Every (anchor, positive, negative) of a batch."""

    def make(rows, labels):
        _, positives, negatives = pairs(rows, labels)
        return Triplets((positives[:, :, None] & negatives[:, None, :]).nonzero().T)

    return make


def test_two_triplets_worked_out_by_hand(four):
    rows, _ = four
    chosen = Triplets(torch.tensor([[0, 1], [1, 0], [2, 2]]))
    # Squared distances: 0.4 and 0.8, then 0.4 and 0.08; similarities: 0.8 and 0.6, then 0.8 and 0.96.
    gaps = math.sqrt(0.4) - math.sqrt(0.8), math.sqrt(0.4) - math.sqrt(0.08)
    expected = sum(math.log1p(math.exp(gap)) for gap in gaps) / 2
    assert triplet_soft_margin(rows, rows, chosen).item() == pytest.approx(expected, abs=1e-12)
    expected = sum(math.log1p(math.exp(gap / 0.1)) for gap in (-0.2, 0.16)) / 2
    value = triplet_soft_margin(rows, rows, chosen, compared_by="similarity", temperature=0.1)
    assert value.item() == pytest.approx(expected, abs=1e-12)


@few
@seeds
@compared
def test_it_equals_pytorch_metric_learning_with_a_smooth_loss(batch, all_triplets, compared_by, seed):
    rows, labels = batch(seed=seed)
    chosen = all_triplets(rows, labels)
    measure = LpDistance() if compared_by == "distance" else CosineSimilarity()
    theirs = TripletMarginLoss(margin=0, smooth_loss=True, distance=measure, reducer=MeanReducer())
    expected = theirs(rows, labels, tuple(chosen.indices)).item()
    value = triplet_soft_margin(rows, rows, chosen, compared_by=compared_by).item()
    assert value == pytest.approx(expected, rel=1e-8)


@few
@seeds
def test_on_similarities_it_is_the_cross_entropy_of_two_logits(batch, all_triplets, seed):
    rows, labels = batch(seed=seed)
    a, p, n = (chosen := all_triplets(rows, labels)).indices
    logits = torch.stack([(rows[a] * rows[p]).sum(dim=1), (rows[a] * rows[n]).sum(dim=1)], dim=1) / 0.1
    expected = functional.cross_entropy(logits, torch.zeros(len(a), dtype=torch.int64))
    value = triplet_soft_margin(rows, rows, chosen, compared_by="similarity", temperature=0.1)
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)


def test_positives_and_negatives_are_taken_from_the_refs(batch):
    rows, refs = batch(classes=3, per_class=1, seed=5)[0], batch(seed=6)[0]
    chosen = [(0, 3, 11), (2, 0, 7)]
    gaps = [math.dist(rows[a], refs[p]) - math.dist(rows[a], refs[n]) for a, p, n in chosen]
    expected = sum(math.log1p(math.exp(gap)) for gap in gaps) / 2
    value = triplet_soft_margin(rows, refs, Triplets(torch.tensor(chosen).T))
    assert value.item() == pytest.approx(expected, rel=1e-10)


@compared
def test_gradients_agree_with_finite_differences(batch, all_triplets, compared_by):
    rows, labels = batch(seed=1)
    chosen = all_triplets(rows, labels)
    raw = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: triplet_soft_margin(x, x, chosen, compared_by=compared_by, temperature=0.5), raw
    )


def test_no_triplets_means_nothing_to_count(four):
    rows, _ = four
    assert triplet_soft_margin(rows, rows, Triplets(torch.zeros(3, 0, dtype=torch.int64))) is None


def test_identical_rows_cost_log_two_and_have_a_finite_gradient():
    rows = torch.ones(3, 4, requires_grad=True)
    loss = triplet_soft_margin(rows, rows, Triplets(torch.tensor([[0], [1], [2]])))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert rows.grad.isfinite().all()
