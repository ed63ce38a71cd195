import math

import pytest
import torch
from dmlbench_plugins.losses.all_triplets import all_triplets
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch.nn import functional

from dmlbench.testing.counting import LargestTensor

few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
forms = pytest.mark.parametrize("squared", [False, True], ids=["distances", "squares"])


def every(positives, negatives):
    return (positives[:, :, None] & negatives[:, None, :]).nonzero()


def plain(rows, refs, positives, negatives, margin, squared):
    power = 2 if squared else 1
    x, y = rows.tolist(), refs.tolist()
    terms = [
        max(0.0, math.dist(x[a], y[p]) ** power - math.dist(x[a], y[n]) ** power + margin)
        for a, p, n in every(positives, negatives).tolist()
    ]
    return sum(terms) / len(terms)


def written_out(rows, positives, negatives, margin, squared):
    """The same loss over a list of all triplets, differentiable."""
    a, p, n = every(positives, negatives).T
    power = 2 if squared else 1
    near, far = ((rows[a] - rows[other]).norm(dim=1) ** power for other in (p, n))
    return functional.relu(near - far + margin).mean()


def test_a_line_worked_out_by_hand():
    rows = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    positives = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]]).bool()
    negatives = torch.tensor([[0, 0, 1], [0, 0, 1], [1, 1, 0]]).bool()
    # 1 - 3 + 2.5 and 1 - 2 + 2.5; squared 1 - 9 + 2.5, closed, and 1 - 4 + 2.5, closed.
    assert all_triplets(rows, rows, positives, negatives, margin=2.5).item() == pytest.approx(1.0)
    assert all_triplets(rows, rows, positives, negatives, margin=2.5, squared=True).item() == 0
    assert all_triplets(rows, rows, positives, negatives, margin=4.0, squared=True).item() == pytest.approx(
        0.5
    )


@few
@given(seed=st.integers(0, 9_999), margin=st.sampled_from([0.0, 0.2, 1.0, 9.0]))
@forms
def test_it_equals_a_plain_loop(batch, pairs, squared, seed, margin):
    rows, labels = batch(seed=seed)
    _, positives, negatives = pairs(rows, labels)
    positives[3] = negatives[5] = False  # anchors that have one kind only
    rows = 1.5 * rows
    found = all_triplets(rows, rows, positives, negatives, margin=margin, squared=squared)
    expected = plain(rows, rows, positives, negatives, margin, squared)
    assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@few
@seeds
@forms
def test_positives_and_negatives_are_taken_from_the_refs(batch, pairs, squared, seed):
    rows, labels = batch(classes=3, per_class=2, seed=seed)
    refs, ref_labels = batch(classes=4, per_class=5, seed=seed + 1)
    _, positives, negatives = pairs(rows, labels, refs, ref_labels)
    found = all_triplets(rows, refs, positives, negatives, margin=0.4, squared=squared)
    expected = plain(rows, refs, positives, negatives, 0.4, squared)
    assert found.item() == pytest.approx(expected, rel=1e-10)


@few
@seeds
@forms
def test_it_equals_pytorch_metric_learning(batch, pairs, squared, seed):
    rows, labels = batch(seed=seed)
    distance = LpDistance(normalize_embeddings=False, power=2 if squared else 1)
    theirs = TripletMarginLoss(margin=0.2, distance=distance, reducer=MeanReducer())
    found = all_triplets(rows, rows, *pairs(rows, labels)[1:], squared=squared)
    assert found.item() == pytest.approx(theirs(rows, labels).item(), rel=1e-8)


@few
@seeds
@forms
def test_its_gradient_is_that_of_the_list_of_all_triplets(batch, pairs, squared, seed):
    rows, labels = batch(classes=4, per_class=4, seed=seed)
    _, positives, negatives = pairs(rows, labels)
    rows = rows.clone().requires_grad_()
    (found,) = torch.autograd.grad(all_triplets(rows, rows, positives, negatives, squared=squared), rows)
    (expected,) = torch.autograd.grad(written_out(rows, positives, negatives, 0.2, squared), rows)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@few
@given(seed=st.integers(0, 9_999), margin=st.sampled_from([0.25, 1.0]))
def test_hinges_of_exactly_zero_are_closed_on_both_sides(pairs, seed, margin):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(4, (16, 1), generator=generator).double()
    labels = torch.randint(3, (16,), generator=generator)
    _, positives, negatives = pairs(rows, labels)
    found = all_triplets(rows, rows, positives, negatives, margin=margin).item()
    # Identical rows are 1e-6 apart, so that their square root has a gradient.
    expected = plain(rows, rows, positives, negatives, margin, squared=False)
    assert found == pytest.approx(expected, abs=2e-6)


def test_a_hinge_of_exactly_zero_moves_nothing():
    rows = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    positives, negatives = (torch.zeros(3, 3, dtype=torch.bool) for _ in range(2))
    positives[0, 1] = negatives[0, 2] = True
    loss = all_triplets(rows, rows, positives, negatives, margin=1.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_a_sum_and_a_difference_that_round_differently_agree_on_what_is_open(pairs):
    generator = torch.Generator().manual_seed(0)
    rows = (0.1 * torch.randint(30, (64, 1), generator=generator)).float()
    labels = torch.randint(4, (64,), generator=generator)
    _, positives, negatives = pairs(rows, labels)
    found = all_triplets(rows, rows, positives, negatives, margin=0.3).item()
    expected = plain(rows.double(), rows.double(), positives, negatives, 0.3, squared=False)
    assert found == pytest.approx(expected, rel=1e-5)


@forms
def test_gradients_agree_with_finite_differences(batch, pairs, squared):
    rows, labels = batch(seed=1)
    _, positives, negatives = pairs(rows, labels)
    inputs = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: all_triplets(x, x, positives, negatives, margin=0.3, squared=squared), (inputs,)
    )


def test_rows_far_from_the_origin_keep_their_small_distances(batch, pairs):
    rows, labels = batch(seed=4)
    _, positives, negatives = pairs(rows, labels)
    near = all_triplets(rows, rows, positives, negatives)
    far = (rows + 100).float()
    assert all_triplets(far, far, positives, negatives).item() == pytest.approx(near.item(), rel=1e-4)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_triplets_has_nothing_to_count(four, pairs, labels):
    rows = four[0]
    assert all_triplets(rows, rows, *pairs(rows, torch.tensor(labels))[1:]) is None


def test_a_collapsed_batch_costs_the_margin_and_has_a_finite_gradient(pairs):
    rows = torch.ones(6, 4, requires_grad=True)
    _, positives, negatives = pairs(rows.detach(), torch.arange(6) // 2)
    loss = all_triplets(rows, rows, positives, negatives)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert rows.grad.isfinite().all()


def test_memory_grows_with_pairs_not_with_triplets(batch, pairs):
    rows, labels = batch(classes=24, per_class=4, seed=0)
    _, positives, negatives = pairs(rows, labels)
    rows = rows.clone().requires_grad_()
    with LargestTensor() as largest:
        all_triplets(rows, rows, positives, negatives).backward()
    assert 96 * 96 <= largest.elements <= 2 * 96 * 96
