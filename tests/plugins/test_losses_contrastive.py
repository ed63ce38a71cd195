import math

import pytest
import torch
from dmlbench_plugins.losses.contrastive import contrastive
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ContrastiveLoss
from torch.nn import functional

from . import reference

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def test_four_vectors_worked_out_by_hand(four, pairs):
    # Both positive pairs are √0.4 apart; of the negative ones only 2-3, √0.08 apart, and 1-3 and 2-4,
    # √0.8 apart, are nearer than 1.
    pull = math.sqrt(0.4)
    push = (2 * (1 - math.sqrt(0.08)) + 4 * (1 - math.sqrt(0.8))) / 6
    assert contrastive(*pairs(*four)).item() == pytest.approx(pull + push, abs=1e-12)


def test_only_open_hinges_count_in_each_kinds_divisor(four, pairs):
    loss = contrastive(*pairs(*four), positive_margin=0.5, negative_margin=0.5)
    assert loss.item() == pytest.approx(math.sqrt(0.4) - 0.5 + 0.5 - math.sqrt(0.08), abs=1e-12)


@few
@seeds
@pytest.mark.parametrize("margins", [(0.0, 1.0), (0.4, 1.3)])
def test_it_equals_a_plain_loop(batch, pairs, margins, seed):
    rows, labels = batch(seed=seed)
    similarity, positives, negatives = pairs(rows, labels)
    expected = reference.contrastive(
        rows.tolist(), rows.tolist(), positives.tolist(), negatives.tolist(), *margins
    )
    found = contrastive(
        similarity, positives, negatives, positive_margin=margins[0], negative_margin=margins[1]
    )
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    rows, labels = batch(classes=3, per_class=1, seed=5)
    refs, ref_labels = batch(classes=4, per_class=5, seed=6)
    similarity, positives, negatives = pairs(rows, labels, refs, ref_labels)
    expected = reference.contrastive(
        rows.tolist(), refs.tolist(), positives.tolist(), negatives.tolist(), 0.0, 1.0
    )
    assert contrastive(similarity, positives, negatives).item() == pytest.approx(expected, rel=1e-10)


@few
@seeds
@pytest.mark.parametrize("margins", [(0.0, 1.0), (0.4, 1.3)])
def test_it_equals_pytorch_metric_learning(batch, pairs, margins, seed):
    rows, labels = batch(seed=seed)
    theirs = ContrastiveLoss(pos_margin=margins[0], neg_margin=margins[1])(rows, labels)
    ours = contrastive(*pairs(rows, labels), positive_margin=margins[0], negative_margin=margins[1])
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_gradients_agree_with_finite_differences(batch, pairs):
    rows, labels = batch(seed=1)

    def loss(raw):
        return contrastive(*pairs(functional.normalize(raw, dim=1), labels), negative_margin=1.2)

    assert torch.autograd.gradcheck(loss, (1.7 * rows).requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_pictures_have_a_finite_gradient(pairs, dtype):
    rows = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.6, 0.8]], dtype=dtype, requires_grad=True)
    loss = contrastive(*pairs(rows, torch.tensor([0, 0, 1])))
    (gradient,) = torch.autograd.grad(loss, rows)
    assert gradient.isfinite().all()
    assert loss.item() == pytest.approx(1.0, abs=1e-2)


def test_a_pair_of_identical_pictures_has_a_closed_hinge(pairs):
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 0])
    expected = ContrastiveLoss(pos_margin=0, neg_margin=1)(rows, labels).item()
    assert expected == pytest.approx(math.sqrt(2), abs=1e-9)
    assert contrastive(*pairs(rows, labels)).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 0, 0, 0], "pull"), ([0, 1, 2, 3], "push")],
    ids=["one class", "all different"],
)
def test_a_kind_of_which_there_are_no_pairs_counts_zero(four, pairs, labels, expected):
    rows = four[0].clone().requires_grad_()
    loss = contrastive(*pairs(rows, torch.tensor(labels)))
    points = four[0].tolist()
    distances = [math.sqrt(reference.square_distance(u, v)) for u in points for v in points if u != v]
    wanted = distances if expected == "pull" else [1 - d for d in distances if d < 1]
    loss.backward()
    assert loss.item() == pytest.approx(reference.mean(wanted), abs=1e-12)
    assert rows.grad.isfinite().all()


def test_a_batch_that_needs_nothing_gives_zero_and_a_zero_gradient(pairs):
    rows = torch.eye(3, dtype=torch.float64).requires_grad_()
    loss = contrastive(*pairs(rows, torch.tensor([0, 1, 2])))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))
