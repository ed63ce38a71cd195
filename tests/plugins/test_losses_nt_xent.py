import math

import pytest
import torch
from dmlbench_plugins.losses.nt_xent import nt_xent
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss
from torch.nn import functional

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
temperatures = pytest.mark.parametrize("temperature", [0.1, 0.5])


def test_three_positives_worked_out_by_hand():
    """The anchor's other positives are not in the denominator."""
    similarity = torch.tensor([[0.9, 0.6, 0.5, -0.2]], dtype=torch.float64)
    positives = torch.tensor([[True, True, False, False]])
    negatives = math.exp(0.5 / 0.5) + math.exp(-0.2 / 0.5)
    expected = [math.log(1 + negatives / math.exp(s / 0.5)) for s in (0.9, 0.6)]
    value = nt_xent(similarity, positives, ~positives, temperature=0.5)
    assert value.item() == pytest.approx(sum(expected) / 2, abs=1e-12)


@few
@seeds
@temperatures
def test_it_equals_a_plain_loop(batch, pairs, temperature, seed):
    data = pairs(*batch(seed=seed))
    expected = reference_pairs.nt_xent(*(part.tolist() for part in data), temperature)
    assert nt_xent(*data, temperature=temperature).item() == pytest.approx(expected, rel=1e-7)


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    data = pairs(*batch(classes=3, per_class=1, seed=5), *batch(classes=4, per_class=5, seed=6))
    expected = reference_pairs.nt_xent(*(part.tolist() for part in data), 0.1)
    assert nt_xent(*data).item() == pytest.approx(expected, rel=1e-8)


@few
@seeds
@temperatures
def test_it_equals_pytorch_metric_learning(batch, pairs, temperature, seed):
    rows, labels = batch(seed=seed)
    theirs = NTXentLoss(temperature=temperature)(rows, labels)
    value = nt_xent(*pairs(rows, labels), temperature=temperature).item()
    assert value == pytest.approx(theirs.item(), rel=1e-7)


def test_gradients_agree_with_finite_differences(batch, pairs):
    rows, labels = batch(seed=1)
    raw = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nt_xent(*pairs(functional.normalize(x, dim=1), labels)), raw)


def test_separated_classes_cost_nothing(batch, pairs):
    """Positives do not compete, as they do in supcon."""
    rows, labels = batch(classes=6, per_class=4, dim=32, noise=0.001)
    assert nt_xent(*pairs(rows, labels), temperature=0.02).item() < 1e-3


def test_a_batch_without_positives_gives_nothing(four, pairs):
    assert nt_xent(*pairs(four[0], torch.arange(4))) is None


def test_a_batch_without_negatives_costs_nothing_with_a_zero_gradient(four, pairs):
    rows = four[0].clone().requires_grad_()
    loss = nt_xent(*pairs(rows, torch.zeros(4, dtype=torch.int64)))
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(rows))


def test_a_low_temperature_is_harmless_in_single_precision(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=9))
    exact = nt_xent(similarity, positives, negatives, temperature=0.005)
    single = similarity.float().requires_grad_()
    loss = nt_xent(single, positives, negatives, temperature=0.005)
    (gradient,) = torch.autograd.grad(loss, single)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert gradient.isfinite().all()
