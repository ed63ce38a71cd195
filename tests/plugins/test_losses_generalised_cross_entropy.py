import math

import pytest
import torch
from dmlbench_plugins.losses.generalised_cross_entropy import GeneralisedCrossEntropy
from dmlbench_plugins.losses.normalised_softmax import NormalisedSoftmax
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.errors import UsageError

from . import reference

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def built(weights, kind=GeneralisedCrossEntropy, **options):
    loss = kind(*weights.shape, **options).double()
    with torch.no_grad():
        loss.weights.copy_(weights)
    return loss


def test_a_row_between_two_classes():
    weights = torch.tensor([[3.0, 0.0], [0.0, 0.2]], dtype=torch.float64)
    row = torch.tensor([[5.0, 5.0]], dtype=torch.float64)
    for q in (0.3, 0.7, 1.0):
        assert built(weights, q=q)(row, torch.tensor([1])).item() == pytest.approx(
            (1 - 0.5**q) / q, abs=1e-12
        )


@few
@seeds
@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_it_equals_a_plain_loop(batch, q, seed):
    rows, labels = batch(seed=seed)
    weights = 2 * batch(classes=5, per_class=1, seed=seed + 1)[0]
    values = []
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        logits = [reference.dot(reference.unit(row), reference.unit(w)) / 0.2 for w in weights.tolist()]
        p = math.exp(logits[label]) / sum(math.exp(x) for x in logits)
        values.append((1 - p**q) / q)
    found = built(weights, q=q, temperature=0.2)(rows, labels)
    assert found.item() == pytest.approx(reference.mean(values), rel=1e-10)


@few
@seeds
def test_towards_q_0_it_is_normalised_softmax(batch, seed):
    rows, labels = batch(seed=seed)
    weights = batch(classes=4, per_class=1, seed=seed + 1)[0]
    expected = built(weights, NormalisedSoftmax)(rows, labels).item()
    assert built(weights, q=1e-9)(rows, labels).item() == pytest.approx(expected, rel=1e-7)


def test_a_row_pulls_by_p_to_the_q_of_cross_entropys_pull(batch):
    rows, _ = batch(classes=1, per_class=1, seed=3)
    weights = batch(classes=4, per_class=1, seed=2)[0]
    for label in range(4):
        pulls, values = [], []
        for loss in (built(weights, q=0.7), built(weights, NormalisedSoftmax)):
            leaf = rows.clone().requires_grad_()
            value = loss(leaf, torch.tensor([label]))
            pulls.append(torch.autograd.grad(value, leaf)[0])
            values.append(value.item())
        p = math.exp(-values[1])
        assert torch.allclose(pulls[0], p**0.7 * pulls[1], rtol=1e-9, atol=1e-15)
        assert values[0] <= 1 / 0.7


def test_gradients_agree_with_finite_differences(batch):
    rows, labels = batch(seed=1)
    loss = built(batch(classes=4, per_class=1, seed=2)[0], temperature=0.3)

    def of(raw, weights):
        return torch.func.functional_call(loss, {"weights": weights}, (raw, labels))

    inputs = (1.5 * rows).requires_grad_(), loss.weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


def test_a_class_far_away_is_bounded_and_finite():
    loss = built(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), temperature=1e-4)
    row = torch.tensor([[-1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    found = loss(row, torch.tensor([0]))
    found.backward()
    assert found.item() == pytest.approx(1 / 0.7)
    assert row.grad.isfinite().all()


@pytest.mark.parametrize("q", [0.0, -0.1, 1.1])
def test_q_is_above_0_and_at_most_1(q):
    with pytest.raises(UsageError, match="q ="):
        GeneralisedCrossEntropy(4, 6, q=q)
