import pytest
import torch
from dmlbench_plugins.losses.cosface import CosFace
from dmlbench_plugins.losses.normalised_softmax import NormalisedSoftmax
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import CosFaceLoss

from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference_proxies as reference
from .counting import Work

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def cosface(weights, **options):
    """The loss with class weights given, in float64."""
    loss = CosFace(*weights.shape, **options).double()
    with torch.no_grad():
        loss.weights.copy_(weights)
    return loss


def test_the_margin_is_taken_from_the_own_class_alone():
    weights = torch.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    row = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    # Cosines 0.6 and 0.8: 10 * (0.8 - 0.1) against 10 * 0.6.
    found = cosface(weights, scale=10.0, margin=0.1)(row, torch.tensor([1])).item()
    assert found == pytest.approx(0.31326168751822286, abs=1e-12)  # log(1 + exp(-1))


@few
@seeds
@pytest.mark.parametrize("options", [{"scale": 64.0, "margin": 0.35}, {"scale": 3.0, "margin": 0.8}])
def test_it_equals_a_plain_loop(batch, options, seed):
    rows, labels = batch(seed=seed)
    weights, _ = batch(classes=5, per_class=1, seed=seed + 1)
    similarity = reference.cosines(rows.tolist(), weights.tolist())
    expected = reference.softmax_with(
        lambda s: s - options["margin"], similarity, labels.tolist(), options["scale"]
    )
    found = cosface(0.4 * weights, **options)(1.7 * rows, labels).item()
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


@few
@seeds
def test_value_and_gradient_equal_pytorch_metric_learnings(batch, seed):
    rows, labels = batch(seed=seed)
    weights, _ = batch(classes=5, per_class=1, seed=seed + 1)
    theirs = CosFaceLoss(num_classes=5, embedding_size=6).double()
    theirs.W.data = weights.T.clone()
    ours = cosface(weights)
    first, second = ours(rows, labels), theirs(rows, labels)
    first.backward()
    second.backward()
    assert first.item() == pytest.approx(second.item(), rel=1e-10)
    assert torch.allclose(ours.weights.grad, theirs.W.grad.T, rtol=1e-8, atol=1e-12)


def test_without_a_margin_it_is_normalised_softmax(batch):
    rows, labels = batch(seed=1)
    weights, _ = batch(classes=5, per_class=1, seed=2)
    plain = NormalisedSoftmax(5, 6, temperature=0.05).double()
    plain.weights.data = weights.clone()
    found = cosface(weights, scale=20.0, margin=0.0)(rows, labels).item()
    assert found == pytest.approx(plain(rows, labels).item(), rel=1e-12)


def test_gradients_agree_with_finite_differences(batch):
    rows, labels = batch(seed=1)
    loss = cosface(batch(classes=4, per_class=1, seed=2)[0], scale=5.0)

    def of(raw, weights):
        return torch.func.functional_call(loss, {"weights": weights}, (raw, labels))

    inputs = (1.5 * rows).requires_grad_(), loss.weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


@pytest.mark.parametrize(("margin", "gap"), [(0.0, 0.0), (0.2, 0.2), (0.5, 0.5)])
def test_the_loss_is_even_where_the_own_class_is_nearer_by_the_margin(margin, gap):
    # One row between two weights: its loss is log 2 where the own cosine exceeds the other by the margin.
    angles = torch.linspace(0, torch.pi / 2, 2_001, dtype=torch.float64)
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    loss = cosface(torch.eye(2, dtype=torch.float64), scale=30.0, margin=margin)
    with torch.no_grad():
        values = torch.stack([loss(row[None], torch.tensor([0])) for row in rows])
    even = rows[(values - torch.tensor(2.0).log()).abs().argmin()]
    assert (even[0] - even[1]).item() == pytest.approx(gap, abs=1e-3)


def test_eleven_thousand_classes_need_no_more_than_a_matrix():
    classes, dim, rows = 11_318, 512, 128
    with torch.device("meta"), Work() as work:  # shapes alone: nothing is computed
        loss = CosFace(classes, dim)
        loss(torch.randn(rows, dim), torch.arange(rows)).backward()
    assert work.elements == classes * dim  # the class weights themselves; rows x classes is smaller


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_class_weights_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    loss = CosFace(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.weights)]
    assert group["rate"] == pytest.approx(2e-3 * factor)
    assert group["weight_decay"] == 0
