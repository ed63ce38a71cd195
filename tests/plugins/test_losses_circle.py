import math

import pytest
import torch
from dmlbench_plugins.losses.circle import circle
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import CircleLoss
from pytorch_metric_learning.reducers import MeanReducer

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

RETRIEVAL = {"margin": 0.4, "scale": 80.0}
GENTLE = {"margin": 0.25, "scale": 6.0}


def test_four_vectors_worked_out_by_hand(four, pairs):
    # Anchors 1 and 4: positive at 0.8, negatives at 0.6 and 0; anchors 2 and 3: at 0.8, 0.96 and 0.6.
    def value(negatives):
        pull = math.exp(-6 * (1.25 - 0.8) * (0.8 - 0.75))
        return math.log1p(pull * sum(math.exp(6 * (s + 0.25) * (s - 0.25)) for s in negatives))

    expected = (value([0.6, 0.0]) + value([0.96, 0.6])) / 2
    assert circle(*pairs(*four), **GENTLE).item() == pytest.approx(expected, abs=1e-12)


@few
@seeds
@pytest.mark.parametrize("options", [RETRIEVAL, GENTLE], ids=["retrieval", "gentle"])
def test_it_equals_a_plain_loop(batch, pairs, options, seed):
    data = pairs(*batch(seed=seed))
    expected = reference_pairs.circle(*(part.tolist() for part in data), **options)
    assert circle(*data, **options).item() == pytest.approx(expected, rel=1e-8)


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    data = pairs(*batch(classes=3, per_class=1, seed=5), *batch(classes=4, per_class=5, seed=6))
    expected = reference_pairs.circle(*(part.tolist() for part in data), **GENTLE)
    assert circle(*data, **GENTLE).item() == pytest.approx(expected, rel=1e-8)


@few
@seeds
def test_value_and_gradient_equal_those_of_pytorch_metric_learning(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    ours, theirs = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    # Its default divides by the anchors whose loss is not 0, which is a step in the gradient.
    library = CircleLoss(m=0.25, gamma=6, reducer=MeanReducer())(theirs, labels)
    unit = torch.nn.functional.normalize(ours, dim=1)
    loss = circle(*pairs(unit, labels), **GENTLE)
    assert loss.item() == pytest.approx(library.item(), rel=1e-8)
    gradients = torch.autograd.grad(loss, ours)[0], torch.autograd.grad(library, theirs)[0]
    assert torch.allclose(*gradients, rtol=1e-7, atol=1e-10)


def test_the_weights_have_no_gradient():
    similarity = torch.tensor([[0.7, 0.3]], dtype=torch.float64, requires_grad=True)
    positives = torch.tensor([[True, False]])
    loss = circle(similarity, positives, ~positives, **GENTLE)
    (gradient,) = torch.autograd.grad(loss, similarity)
    active = 1 - math.exp(-loss.item())
    assert gradient[0].tolist() == pytest.approx([-6 * active * (1.25 - 0.7), 6 * active * (0.3 + 0.25)])


def test_the_boundary_of_one_pair_each_is_a_circle():
    """(s_n)^2 + (s_p - 1)^2 = 2 margin^2 is where the two exponents cancel."""
    angle = torch.linspace(0.1, 1.4, 9, dtype=torch.float64)
    radius = 2**0.5 * 0.25
    similarity = torch.stack([1 - radius * angle.cos(), radius * angle.sin()], dim=1)
    positives = torch.tensor([[True, False]] * 9)
    loss = circle(similarity, positives, ~positives, margin=0.25, scale=80.0)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-12)


def test_large_scales_neither_overflow_nor_lose_the_value_in_single_precision(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=9))
    exact = circle(similarity, positives, negatives, margin=0.25, scale=256.0)
    single = similarity.float().requires_grad_()
    loss = circle(single, positives, negatives, margin=0.25, scale=256.0)
    (gradient,) = torch.autograd.grad(loss, single)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_gives_nothing(four, pairs, labels):
    assert circle(*pairs(four[0], torch.tensor(labels))) is None


def test_anchors_without_both_kinds_are_not_in_the_divisor(four, pairs):
    rows, _ = four
    similarity, positives, negatives = pairs(rows, torch.tensor([0, 0, 1, 2]))
    two = circle(similarity[:2], positives[:2], negatives[:2], **GENTLE)
    assert circle(similarity, positives, negatives, **GENTLE).item() == pytest.approx(two.item(), rel=1e-12)
