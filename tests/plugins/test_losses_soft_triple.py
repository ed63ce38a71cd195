import pytest
import torch
from dmlbench_plugins.losses.class_centres import centre_distance
from dmlbench_plugins.losses.soft_triple import SoftTriple
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss, SoftTripleLoss

from dmlbench.api import UsageError
from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference_proxies as reference
from .counting import Work

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def soft_triple(centres, **options):
    """The loss with centres [class, centre, dim] given, in float64."""
    classes, count, dim = centres.shape
    loss = SoftTriple(classes, dim, centres_per_class=count, **options).double()
    with torch.no_grad():
        loss.centres.copy_(centres)
    return loss


@pytest.fixture(scope="session")
def five_classes(batch):
    def make(seed):
        return batch(classes=15, per_class=1, seed=seed)[0].unflatten(0, (5, 3))

    return make


def test_two_classes_of_one_centre_worked_out_by_hand():
    loss = soft_triple(torch.tensor([[[2.0, 0.0]], [[0.0, 0.5]]]), scale=10.0, margin=0.1)
    found = loss(torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([1]))
    assert found.keys() == {"classification", "spread"}
    assert found["classification"].item() == pytest.approx(0.31326168751822286, abs=1e-12)  # log(1 + exp(-1))
    assert found["spread"].item() == 0.0


@few
@seeds
@pytest.mark.parametrize("options", [{}, {"scale": 5.0, "gamma": 2.0, "margin": 0.3}])
def test_it_equals_a_plain_loop(batch, five_classes, options, seed):
    rows, labels = batch(seed=seed)
    centres = five_classes(seed + 1)
    settings = {"scale": 20.0, "gamma": 10.0, "margin": 0.01, **options}
    similarity = reference.class_similarity(rows.tolist(), centres.tolist(), settings["gamma"])
    expected = reference.softmax_with(
        lambda s: s - settings["margin"], similarity, labels.tolist(), settings["scale"]
    )
    found = soft_triple(0.4 * centres, **options)(1.7 * rows, labels)["classification"]
    assert found.item() == pytest.approx(expected, rel=1e-10)


@few
@seeds
def test_the_spread_is_the_authors_sum_over_unordered_pairs(five_classes, seed):
    centres = five_classes(seed)
    rows, labels = torch.eye(6, dtype=torch.float64)[:2], torch.tensor([0, 1])
    expected = 0.2 * sum(reference.centre_distances(centres.tolist())) / (5 * 3 * 2)
    found = soft_triple(2.5 * centres)(rows, labels)["spread"].item()
    assert found == pytest.approx(expected, rel=1e-10)


@few
@seeds
def test_value_and_gradient_of_the_classification_equal_pytorch_metric_learnings(batch, five_classes, seed):
    """They have no regulariser, and call 1 / gamma gamma."""
    rows, labels = batch(seed=seed)
    centres = five_classes(seed + 1)
    theirs = SoftTripleLoss(5, 6, centers_per_class=3, la=20, gamma=0.1, margin=0.01).double()
    theirs.fc.data = centres.flatten(0, 1).T.clone()
    ours = soft_triple(centres, tau=0.0)
    first, second = ours(rows, labels), theirs(rows, labels)
    assert first.keys() == {"classification"}
    first["classification"].backward()
    second.backward()
    assert first["classification"].item() == pytest.approx(second.item(), rel=1e-10)
    assert torch.allclose(ours.centres.grad.flatten(0, 1), theirs.fc.grad.T, rtol=1e-8, atol=1e-12)


def test_one_centre_without_margin_is_normalised_softmax(batch):
    rows, labels = batch(seed=1)
    weights, _ = batch(classes=5, per_class=1, seed=2)
    theirs = NormalizedSoftmaxLoss(num_classes=5, embedding_size=6, temperature=1 / 20).double()
    theirs.W.data = weights.T.clone()
    found = soft_triple(weights[:, None], margin=0.0)(rows, labels)["classification"]
    assert found.item() == pytest.approx(theirs(rows, labels).item(), rel=1e-12)


def test_gradients_agree_with_finite_differences(batch, five_classes):
    rows, labels = batch(seed=1)
    loss = soft_triple(five_classes(2), scale=5.0)

    def of(raw, centres):
        return sum(torch.func.functional_call(loss, {"centres": centres}, (raw, labels)).values())

    inputs = (1.5 * rows).requires_grad_(), loss.centres.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


def test_centres_that_met_have_a_finite_gradient():
    centres = torch.ones(2, 3, 4, requires_grad=True)
    centre_distance(centres).backward()
    assert centres.grad.isfinite().all()


def test_the_regulariser_merges_centres_that_are_not_needed():
    """Four classes of one place each, two centres a class: one is enough."""
    rows, labels = torch.eye(4), torch.arange(4)
    apart = {}
    for tau in (0.0, 5.0):
        torch.manual_seed(0)
        loss = SoftTriple(4, 4, centres_per_class=2, tau=tau)
        optimiser = torch.optim.Adam(loss.parameters(), lr=0.02)
        for _ in range(150):
            optimiser.zero_grad()
            sum(loss(rows, labels).values()).backward()
            optimiser.step()
        apart[tau] = centre_distance(loss.centres).item()
    assert apart[0.0] > 1
    assert apart[5.0] < 0.01


def test_eleven_thousand_classes_need_no_more_than_rows_x_centres():
    classes, count, dim, rows = 11_318, 2, 512, 128
    with torch.device("meta"), Work() as work:  # shapes alone: nothing is computed
        loss = SoftTriple(classes, dim, centres_per_class=count)
        sum(loss(torch.randn(rows, dim), torch.arange(rows)).values()).backward()
    assert work.elements == classes * count * dim  # the centres themselves; rows x centres is smaller


def test_a_class_without_centres_is_refused():
    with pytest.raises(UsageError, match="centres_per_class = 0"):
        SoftTriple(3, 2, centres_per_class=0)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_centres_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    loss = SoftTriple(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.centres)]
    assert group["rate"] == pytest.approx(2e-3 * factor)
    assert group["weight_decay"] == 0
