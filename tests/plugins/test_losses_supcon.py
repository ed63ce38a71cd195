import math

import pytest
import torch
from dmlbench_plugins.losses.nt_xent import nt_xent
from dmlbench_plugins.losses.supcon import supcon
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from torch.nn import functional

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
temperatures = pytest.mark.parametrize("temperature", [0.1, 0.5])


def test_four_vectors_worked_out_by_hand(four, pairs):
    def value(positive, others):
        return math.log(sum(math.exp(2 * s) for s in [positive, *others])) - 2 * positive

    expected = (value(0.8, [0.6, 0.0]) + value(0.8, [0.96, 0.6])) / 2
    assert supcon(*pairs(*four), temperature=0.5).item() == pytest.approx(expected, abs=1e-12)


@few
@seeds
@temperatures
def test_it_equals_a_plain_loop(batch, pairs, temperature, seed):
    data = pairs(*batch(seed=seed))
    expected = reference_pairs.supcon(*(part.tolist() for part in data), temperature)
    assert supcon(*data, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    data = pairs(*batch(classes=3, per_class=1, seed=5), *batch(classes=4, per_class=5, seed=6))
    expected = reference_pairs.supcon(*(part.tolist() for part in data), 0.1)
    assert supcon(*data).item() == pytest.approx(expected, rel=1e-9)


@few
@seeds
@temperatures
def test_it_equals_pytorch_metric_learning(batch, pairs, temperature, seed):
    rows, labels = batch(seed=seed)
    theirs = SupConLoss(temperature=temperature)(rows, labels)
    assert supcon(*pairs(rows, labels), temperature=temperature).item() == pytest.approx(
        theirs.item(), rel=1e-7
    )


def test_gradients_agree_with_finite_differences(batch, pairs):
    rows, labels = batch(seed=1)
    raw = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: supcon(*pairs(functional.normalize(x, dim=1), labels)), raw)


@few
@seeds
def test_of_two_pictures_a_class_it_is_nt_xent(batch, pairs, seed):
    data = pairs(*batch(classes=5, per_class=2, seed=seed))
    assert supcon(*data).item() == pytest.approx(nt_xent(*data).item(), rel=1e-12)


def test_it_is_not_less_than_the_log_of_the_positives(batch, pairs):
    """Positives compete: with k of them the best that each can have is a share of 1 / k."""
    rows, labels = batch(classes=6, per_class=4, dim=32, noise=0.001)
    value = supcon(*pairs(rows, labels), temperature=0.02).item()
    assert value == pytest.approx(math.log(3), abs=1e-3)


def test_anchors_without_a_positive_are_not_in_the_divisor(four, pairs):
    similarity, positives, negatives = pairs(four[0], torch.tensor([0, 0, 1, 2]))
    two = supcon(similarity[:2], positives[:2], negatives[:2])
    assert supcon(similarity, positives, negatives).item() == pytest.approx(two.item(), rel=1e-12)


def test_a_batch_without_positives_gives_nothing(four, pairs):
    assert supcon(*pairs(four[0], torch.arange(4))) is None


def test_a_low_temperature_is_harmless_in_single_precision(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=9))
    exact = supcon(similarity, positives, negatives, temperature=0.005)
    single = similarity.float().requires_grad_()
    loss = supcon(single, positives, negatives, temperature=0.005)
    (gradient,) = torch.autograd.grad(loss, single)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert gradient.isfinite().all()
