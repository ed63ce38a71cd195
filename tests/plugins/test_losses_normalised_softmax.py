import pytest
import torch
from dmlbench_plugins.losses.normalised_softmax import NormalisedSoftmax
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss

from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def softmax(weights, **options):
    loss = NormalisedSoftmax(*weights.shape, **options).double()
    with torch.no_grad():
        loss.weights.copy_(weights)
    return loss


def test_a_row_between_two_classes():
    weights = torch.tensor([[3.0, 0.0], [0.0, 0.2]], dtype=torch.float64)
    row = torch.tensor([[5.0, 5.0]], dtype=torch.float64)
    assert softmax(weights)(row, torch.tensor([1])).item() == pytest.approx(0.6931471805599453, abs=1e-12)


def test_cosines_are_divided_by_the_temperature():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    row = torch.tensor([[0.8, 0.6]], dtype=torch.float64)
    found = softmax(weights, temperature=0.1)(row, torch.tensor([0])).item()
    assert found == pytest.approx(0.12692801104297263, abs=1e-12)  # log(1 + exp(-2))


@few
@seeds
@pytest.mark.parametrize("temperature", [0.05, 0.7])
def test_it_equals_a_plain_loop(batch, temperature, seed):
    rows, labels = batch(seed=seed)
    weights = 2 * batch(classes=5, per_class=1, seed=seed + 1)[0]
    expected = reference.normalised_softmax(rows.tolist(), weights.tolist(), labels.tolist(), temperature)
    found = softmax(weights, temperature=temperature)(rows, labels)
    assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@few
@seeds
def test_value_and_gradient_equal_pytorch_metric_learnings(batch, seed):
    rows, labels = batch(seed=seed)
    weights = 0.4 * batch(classes=4, per_class=1, seed=seed + 1)[0]
    theirs = NormalizedSoftmaxLoss(num_classes=4, embedding_size=6, temperature=0.05)
    theirs.W.data = weights.T.clone()
    ours = softmax(weights)
    first, second = ours(rows, labels), theirs(rows, labels)
    first.backward()
    second.backward()
    assert first.item() == pytest.approx(second.item(), rel=1e-10)
    assert torch.allclose(ours.weights.grad, theirs.W.grad.T, rtol=1e-9, atol=1e-12)


def test_gradients_agree_with_finite_differences(batch):
    rows, labels = batch(seed=1)
    loss = softmax(batch(classes=4, per_class=1, seed=2)[0], temperature=0.3)

    def of(raw, weights):
        return torch.func.functional_call(loss, {"weights": weights}, (raw, labels))

    inputs = (1.5 * rows).requires_grad_(), loss.weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


def test_it_knows_one_weight_vector_a_class_without_bias():
    assert {name: tuple(p.shape) for name, p in NormalisedSoftmax(9, 4).named_parameters()} == {
        "weights": (9, 4)
    }


def test_a_class_far_away_does_not_overflow():
    loss = softmax(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), temperature=1e-4)
    row = torch.tensor([[-1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    found = loss(row, torch.tensor([0]))
    found.backward()
    assert found.item() == pytest.approx(20_000)
    assert row.grad.isfinite().all()


@pytest.mark.parametrize("factor", [1.0, 25.0])
def test_class_weights_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="1e-3", weight_decay="1e-4", schedule="cosine")
    loss = NormalisedSoftmax(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.weights)]
    assert group["rate"] == pytest.approx(1e-3 * factor)
    assert group["weight_decay"] == 0
