import pytest
import torch
from dmlbench_plugins.losses.class_centres import class_similarity
from dmlbench_plugins.losses.multi_proxy_anchor import MultiProxyAnchor
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ProxyAnchorLoss

from dmlbench.api import UsageError
from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference_proxies as reference
from .counting import Work

ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1])
PROXIES = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.6, -0.8]]], dtype=torch.float64)
ABSENT = torch.tensor([[[0.0, -1.0], [0.0, -1.0]]], dtype=torch.float64)

EXACT = {"rel": 0.0, "abs": 1e-10}

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def anchor(proxies, **options):
    """The loss with proxies [class, proxy, dim] given, in float64."""
    classes, count, dim = proxies.shape
    loss = MultiProxyAnchor(classes, dim, proxies_per_class=count, **options).double()
    with torch.no_grad():
        loss.proxies.copy_(proxies)
    return loss


def value(proxies=PROXIES, rows=ROWS, labels=LABELS, **options):
    return sum(anchor(proxies, **options)(rows, labels).values()).item()


# ---- known answers


def test_the_similarity_to_a_class_is_a_soft_maximum():
    found = class_similarity(ROWS, PROXIES, gamma=10.0)
    expected = [0.9999546021, 0.5999998199, 0.9999546021, -0.0002682801, -0.0000453979, 0.9999998199]
    assert found.flatten().tolist() == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"alpha": 2.0}, 1.5367208552),
        ({"alpha": 32.0}, 12.8192758907),
        ({"alpha": 2.0, "gamma": 0.0}, 1.2361196344),
        ({"alpha": 2.0, "anchor": "data"}, 1.2251028658),
    ],
)
def test_known_answers(options, expected):
    assert value(**options) == pytest.approx(expected, **EXACT)


def test_a_class_without_rows_counts_in_the_second_mean_alone():
    assert value(torch.cat([PROXIES, ABSENT]), alpha=2.0) == pytest.approx(1.5253128361, **EXACT)


def test_the_gradient_is_orthogonal_to_each_row():
    rows = ROWS.clone().requires_grad_()
    sum(anchor(PROXIES, alpha=2.0)(rows, LABELS).values()).backward()
    expected = [0, -0.5168695971, -0.1951916537, 0, 0, 0.5500359633]
    assert rows.grad.flatten().tolist() == pytest.approx(expected, **EXACT)


def test_one_proxy_a_class_is_proxy_anchor():
    theirs = ProxyAnchorLoss(num_classes=2, embedding_size=2, margin=0.1, alpha=32).double()
    theirs.proxies.data = PROXIES[:, 0].clone()
    assert value(PROXIES[:, :1]) == pytest.approx(3.2399533332, **EXACT)
    assert value(PROXIES[:, :1]) == pytest.approx(theirs(ROWS, LABELS).item(), rel=0, abs=1e-12)


def test_proxies_that_are_repeated_are_one():
    assert value(PROXIES[:, :1].expand(2, 3, 2)) == pytest.approx(value(PROXIES[:, :1]), rel=1e-12)


# ---- against plain loops


@few
@seeds
@pytest.mark.parametrize("form", ["class", "data"])
@pytest.mark.parametrize("gamma", [0.0, 10.0])
def test_it_equals_a_plain_loop(batch, form, gamma, seed):
    rows, labels = batch(seed=seed)
    proxies = batch(classes=15, per_class=1, seed=seed + 1)[0].unflatten(0, (5, 3))
    similarity = reference.class_similarity(rows.tolist(), proxies.tolist(), gamma)
    loop = reference.proxy_anchor if form == "class" else reference.proxy_anchor_by_row
    expected = loop(similarity, labels.tolist(), alpha=32.0, margin=0.1)
    found = value(0.4 * proxies, 1.7 * rows, labels, anchor=form, gamma=gamma)
    assert found == pytest.approx(expected, rel=1e-10)


@few
@seeds
def test_the_regulariser_is_the_mean_distance_of_a_classs_proxies(batch, seed):
    rows, labels = batch(seed=seed)
    proxies = batch(classes=15, per_class=1, seed=seed + 1)[0].unflatten(0, (5, 3))
    distances = reference.centre_distances(proxies.tolist())
    parts = anchor(proxies, tau=0.2)(rows, labels)
    assert parts["spread"].item() == pytest.approx(0.2 * sum(distances) / len(distances), rel=1e-10)


@pytest.mark.parametrize("options", [{"anchor": "class"}, {"anchor": "data"}, {"tau": 0.5}])
def test_gradients_agree_with_finite_differences(batch, options):
    rows, labels = batch(seed=1)
    loss = anchor(batch(classes=10, per_class=1, seed=2)[0].unflatten(0, (5, 2)), alpha=8.0, **options)

    def of(raw, proxies):
        return sum(torch.func.functional_call(loss, {"proxies": proxies}, (raw, labels)).values())

    inputs = (1.5 * rows).requires_grad_(), loss.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


# ---- properties


def test_lengths_and_orders_do_not_matter(batch):
    rows, labels = batch(seed=3)
    proxies = batch(classes=8, per_class=1, seed=4)[0].unflatten(0, (4, 2))
    expected = value(proxies, rows, labels)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    longer = torch.tensor([[0.2, 5.0], [1.0, 1.0], [3.0, 0.1], [2.0, 2.0]])[..., None]
    assert value(longer * proxies, 7 * rows, labels) == pytest.approx(expected, rel=1e-12)
    assert value(proxies.flip(1), rows[order], labels[order]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["class", "data"])
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 1]])
def test_opposite_rows_stay_finite_in_single_precision(form, labels):
    loss = MultiProxyAnchor(2, 2, anchor=form)
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[[-1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]))
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    found = loss(rows, torch.tensor(labels))["anchor"]
    found.backward()
    assert found.isfinite()
    assert rows.grad.isfinite().all()
    assert loss.proxies.grad.isfinite().all()


def test_two_proxies_let_a_class_live_in_two_opposite_places():
    """Rows stand still, at opposite places in each class; proxies alone learn."""
    rows = torch.cat([torch.eye(4), -torch.eye(4)])
    labels = torch.arange(4).repeat(2)
    reached = {}
    for count in (1, 2):
        torch.manual_seed(0)
        loss = MultiProxyAnchor(4, 4, proxies_per_class=count)
        optimiser = torch.optim.Adam(loss.parameters(), lr=0.02)
        for _ in range(300):
            optimiser.zero_grad()
            loss(rows, labels)["anchor"].backward()
            optimiser.step()
        to_own_class = class_similarity(rows, loss.proxies.detach(), loss.gamma)[torch.arange(8), labels]
        reached[count] = to_own_class.min().item()
    assert reached[1] <= 0  # what draws one proxy to a row drives it from the other
    assert reached[2] > 0.3


def test_eleven_thousand_classes_need_no_more_than_rows_x_proxies():
    classes, count, dim, rows = 11_318, 2, 512, 128
    with torch.device("meta"), Work() as work:  # shapes alone: nothing is computed
        loss = MultiProxyAnchor(classes, dim, proxies_per_class=count)
        loss(torch.randn(rows, dim), torch.arange(rows))["anchor"].backward()
    assert work.elements == classes * count * dim  # the proxies themselves; rows x proxies is smaller


def test_the_proxies_of_a_class_start_apart():
    proxies = MultiProxyAnchor(50, 16, proxies_per_class=3).proxies
    assert proxies.std().item() == pytest.approx((2 / 150) ** 0.5, rel=0.1)  # Kaiming, fan-out: all proxies
    assert torch.pdist(proxies[0]).min() > 0


def test_a_class_without_proxies_is_refused():
    with pytest.raises(UsageError, match="proxies_per_class = 0"):
        MultiProxyAnchor(3, 2, proxies_per_class=0)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_proxies_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    loss = MultiProxyAnchor(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.proxies)]
    assert group["rate"] == pytest.approx(2e-3 * factor)
    assert group["weight_decay"] == 0
