import math

import pytest
import torch
from dmlbench_plugins.losses.binomial_deviance import binomial_deviance
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

OPTIONS = {"alpha": 2.0, "beta": 50.0, "base": 0.5}


def test_four_vectors_worked_out_by_hand(four, pairs):
    # Both anchors of a class: the positive at 0.8; negatives at 0.6 and 0, or at 0.96 and 0.6.
    pull = math.log1p(math.exp(2 * (0.5 - 0.8)))
    push = [math.log1p(math.exp(50 * (s - 0.5))) for s in (0.6, 0.0, 0.96, 0.6)]
    expected = pull + sum(push) / 4
    # torch's softplus leaves out exp(-x) above x = 20, which is 1e-10 of the cost of the pair at 0.96.
    assert binomial_deviance(*pairs(*four)).item() == pytest.approx(expected, rel=0, abs=1e-10)


@few
@seeds
def test_it_equals_a_plain_loop(batch, pairs, seed):
    data = pairs(*batch(seed=seed))
    expected = reference_pairs.binomial_deviance(*(part.tolist() for part in data), **OPTIONS)
    assert binomial_deviance(*data, **OPTIONS).item() == pytest.approx(expected, rel=1e-8)


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    data = pairs(*batch(classes=3, per_class=1, seed=5), *batch(classes=4, per_class=5, seed=6))
    expected = reference_pairs.binomial_deviance(*(part.tolist() for part in data), **OPTIONS)
    assert binomial_deviance(*data).item() == pytest.approx(expected, rel=1e-8)


@few
@seeds
def test_the_weight_of_a_pair_is_a_logistic_function_of_it_alone(batch, pairs, seed):
    similarity, positives, negatives = pairs(*batch(seed=seed))
    leaf = similarity.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(binomial_deviance(leaf, positives, negatives), leaf)
    # Of three images a class has two positives and nine negatives.
    pull, push = (
        2 * torch.sigmoid(2 * (0.5 - similarity)) / 2,
        50 * torch.sigmoid(50 * (similarity - 0.5)) / 9,
    )
    expected = (push * negatives - pull * positives) / len(similarity)
    assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_gradients_agree_with_finite_differences(batch, pairs):
    rows, labels = batch(seed=1)
    raw = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: binomial_deviance(*pairs(functional.normalize(x, dim=1), labels)), raw
    )


@pytest.mark.parametrize(("labels", "kind"), [([0, 0, 0, 0], 1), ([0, 1, 2, 3], 2)])
def test_a_kind_without_pairs_counts_nothing(four, pairs, labels, kind):
    data = pairs(four[0], torch.tensor(labels))
    alone = [data[0], data[1] & False, data[2] & False]
    alone[kind] = data[kind]
    value = binomial_deviance(*data)
    assert value.item() == pytest.approx(binomial_deviance(*alone).item(), abs=1e-15)
    assert value > 0
    assert binomial_deviance(data[0], data[1] & False, data[2] & False).item() == 0


def test_one_row_costs_nothing():
    alone = torch.ones(1, 1, requires_grad=True)
    none = torch.zeros(1, 1, dtype=torch.bool)
    loss = binomial_deviance(alone, none, none)
    (gradient,) = torch.autograd.grad(loss, alone)
    assert (loss.item(), gradient.item()) == (0, 0)
