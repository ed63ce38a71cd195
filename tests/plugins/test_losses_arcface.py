import itertools
import math

import pytest
import torch
from dmlbench_plugins.losses.arcface import ArcFace
from dmlbench_plugins.losses.normalised_softmax import NormalisedSoftmax
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ArcFaceLoss

from dmlbench.api import UsageError
from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference_proxies as reference
from .counting import Work

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def arcface(weights, **options):
    """The loss with class weights given, in float64."""
    loss = ArcFace(*weights.shape, **options).double()
    with torch.no_grad():
        loss.weights.copy_(weights)
    return loss


def own_cosine(angle, **options):
    """What takes the place of cos(angle) for the own class."""
    return ArcFace(2, 2, **options)._turned(torch.tensor([[angle]], dtype=torch.float64).cos()).item()


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.0, 2.6])
def test_the_angle_to_the_own_class_grows_by_the_margin(angle):
    assert own_cosine(angle, margin=0.5) == pytest.approx(math.cos(angle + 0.5), abs=1e-12)


def test_beyond_a_straight_angle_the_cosine_goes_on_falling():
    """It falls by 0.117, about 0.5^2 / 2, at the seam, and nowhere rises."""
    angles = torch.linspace(0.01, math.pi - 0.01, 2_001).tolist()
    values = [own_cosine(angle, margin=0.5) for angle in angles]
    assert all(one > other for one, other in itertools.pairwise(values))
    seam = math.pi - 0.5
    fall = own_cosine(seam - 1e-6, margin=0.5) - own_cosine(seam + 1e-6, margin=0.5)
    assert fall == pytest.approx(0.1173, abs=1e-4)
    assert own_cosine(3.0, margin=0.5) == pytest.approx(math.cos(3.0) - 0.5 * math.sin(0.5), abs=1e-12)


def test_the_easy_margin_counts_for_acute_angles_alone():
    assert own_cosine(1.5, margin=0.5, easy_margin=True) == pytest.approx(math.cos(2.0), abs=1e-12)
    assert own_cosine(1.6, margin=0.5, easy_margin=True) == pytest.approx(math.cos(1.6), abs=1e-12)


@few
@seeds
@pytest.mark.parametrize(
    "options",
    [{}, {"scale": 3.0, "margin": 1.2}, {"easy_margin": True}],
    ids=["paper", "wide", "easy"],
)
def test_it_equals_a_plain_loop(batch, options, seed):
    rows, labels = batch(seed=seed)
    weights, _ = batch(classes=5, per_class=1, seed=seed + 1)
    scale, margin = options.get("scale", 64.0), options.get("margin", 0.5)
    similarity = reference.cosines(rows.tolist(), weights.tolist())
    expected = reference.softmax_with(
        lambda s: reference.arcface_cosine(s, margin, options.get("easy_margin", False)),
        similarity,
        labels.tolist(),
        scale,
    )
    found = arcface(0.4 * weights, **options)(1.7 * rows, labels).item()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@few
@seeds
def test_value_and_gradient_equal_pytorch_metric_learnings(batch, seed):
    """Their margin is in degrees, their angle an arc cosine."""
    rows, labels = batch(seed=seed)
    weights, _ = batch(classes=5, per_class=1, seed=seed + 1)
    theirs = ArcFaceLoss(num_classes=5, embedding_size=6, margin=math.degrees(0.5)).double()
    theirs.W.data = weights.T.clone()
    ours = arcface(weights)
    first, second = ours(rows, labels), theirs(rows, labels)
    first.backward()
    second.backward()
    assert first.item() == pytest.approx(second.item(), rel=1e-9)
    assert torch.allclose(ours.weights.grad, theirs.W.grad.T, rtol=1e-7, atol=1e-10)


def test_without_a_margin_it_is_normalised_softmax(batch):
    rows, labels = batch(seed=1)
    weights, _ = batch(classes=5, per_class=1, seed=2)
    plain = NormalisedSoftmax(5, 6, temperature=0.05).double()
    plain.weights.data = weights.clone()
    found = arcface(weights, scale=20.0, margin=0.0)(rows, labels).item()
    assert found == pytest.approx(plain(rows, labels).item(), rel=1e-12)


@pytest.mark.parametrize("options", [{}, {"easy_margin": True}])
def test_gradients_agree_with_finite_differences(batch, options):
    rows, labels = batch(seed=1)
    loss = arcface(batch(classes=4, per_class=1, seed=2)[0], scale=5.0, **options)

    def of(raw, weights):
        return torch.func.functional_call(loss, {"weights": weights}, (raw, labels))

    inputs = (1.5 * rows).requires_grad_(), loss.weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("away", [0.0, 1e-8, 1e-4, 1e-3])
@pytest.mark.parametrize("easy_margin", [False, True])
def test_gradients_stay_bounded_where_a_row_meets_its_class_weight_or_is_opposite(sign, away, easy_margin):
    """In single precision. dL/d angle is at most the scale, so a unit row's gradient is too."""
    generator = torch.Generator().manual_seed(4)
    weights = torch.nn.functional.normalize(torch.randn(3, 64, generator=generator), dim=1)
    row = sign * weights[:1] + away * torch.randn(1, 64, generator=generator) / 8
    row = torch.nn.functional.normalize(row, dim=1).requires_grad_()
    loss = ArcFace(3, 64, scale=64.0, easy_margin=easy_margin)
    with torch.no_grad():
        loss.weights.copy_(weights)
    found = loss(row, torch.tensor([0]))
    found.backward()
    assert found.isfinite()
    assert row.grad.norm() < 2 * 64
    assert loss.weights.grad.norm(dim=1).max() < 2 * 64


def test_eleven_thousand_classes_need_no_more_than_a_matrix():
    classes, dim, rows = 11_318, 512, 128
    with torch.device("meta"), Work() as work:  # shapes alone: nothing is computed
        loss = ArcFace(classes, dim)
        loss(torch.randn(rows, dim), torch.arange(rows)).backward()
    assert work.elements == classes * dim  # the class weights themselves; rows x classes is smaller


@pytest.mark.parametrize("margin", [-0.1, 1.6, 28.6])
def test_a_margin_in_degrees_is_refused(margin):
    with pytest.raises(UsageError, match="radians"):
        ArcFace(3, 2, margin=margin)


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_class_weights_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    loss = ArcFace(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.weights)]
    assert group["rate"] == pytest.approx(2e-3 * factor)
    assert group["weight_decay"] == 0
