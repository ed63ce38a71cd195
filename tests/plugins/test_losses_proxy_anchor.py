import math

import pytest
import torch
from dmlbench_plugins.losses.proxy_anchor import ProxyAnchor, proxy_anchor
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ProxyAnchorLoss

from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference_proxies as reference
from .counting import Work

ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1])

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def anchor(proxies, **options):
    """The loss with proxies given, in float64."""
    values = torch.as_tensor(proxies, dtype=torch.float64)
    loss = ProxyAnchor(*values.shape, **options).double()
    with torch.no_grad():
        loss.proxies.copy_(values)
    return loss


def test_one_proxy_for_each_of_two_classes():
    found = anchor([[1.0, 0.0], [-1.0, 0.0]])(ROWS, LABELS).item()
    assert found == pytest.approx(3.2399533332, rel=0, abs=1e-10)


def test_a_class_without_rows_pushes_and_does_not_pull():
    # Worked out by hand at alpha 1, margin 0: s is 1 to the own class, 0 to the two others.
    loss = anchor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], alpha=1.0, margin=0.0)
    rows = torch.eye(3, dtype=torch.float64)[:2]
    expected = math.log(1 + math.exp(-1)) + (2 * math.log(2) + math.log(3)) / 3
    assert loss(rows, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-12)


@few
@seeds
@pytest.mark.parametrize("options", [{"alpha": 32.0, "margin": 0.1}, {"alpha": 4.0, "margin": 0.4}])
def test_it_equals_a_plain_loop(batch, options, seed):
    rows, labels = batch(seed=seed)
    proxies, _ = batch(classes=6, per_class=1, seed=seed + 1)
    similarity = reference.cosines(rows.tolist(), proxies.tolist())
    expected = reference.proxy_anchor(similarity, labels.tolist(), **options)
    found = anchor(0.3 * proxies, **options)(1.7 * rows, labels).item()
    assert found == pytest.approx(expected, rel=1e-10)


@few
@seeds
def test_value_and_gradient_equal_pytorch_metric_learnings(batch, seed):
    rows, labels = batch(seed=seed)
    proxies, _ = batch(classes=6, per_class=1, seed=seed + 1)
    theirs = ProxyAnchorLoss(num_classes=6, embedding_size=6, margin=0.1, alpha=32).double()
    theirs.proxies.data = proxies.clone()
    ours = anchor(proxies)
    first, second = ours(rows, labels), theirs(rows, labels)
    first.backward()
    second.backward()
    assert first.item() == pytest.approx(second.item(), rel=1e-12)
    assert torch.allclose(ours.proxies.grad, theirs.proxies.grad, rtol=1e-9, atol=1e-12)


def test_harder_rows_of_a_class_are_pulled_harder():
    """Eq. 5 of the paper: h / (1 + sum of h) with h = exp(-alpha (s - margin)), here of two rows."""
    similarity = torch.tensor([[0.3], [0.4]], dtype=torch.float64, requires_grad=True)
    proxy_anchor(similarity, torch.tensor([0, 0]), alpha=32.0, margin=0.1).backward()
    h = [math.exp(-32 * (s - 0.1)) for s in (0.3, 0.4)]
    expected = [-32 * x / (1 + sum(h)) for x in h]
    assert similarity.grad.flatten().tolist() == pytest.approx(expected, rel=1e-10)
    assert expected[0] / expected[1] == pytest.approx(math.exp(3.2))  # 24.5 times as hard, 0.1 farther away


def test_gradients_agree_with_finite_differences(batch):
    rows, labels = batch(seed=1)
    loss = anchor(batch(classes=5, per_class=1, seed=2)[0], alpha=8.0)

    def of(raw, proxies):
        return torch.func.functional_call(loss, {"proxies": proxies}, (raw, labels))

    inputs = (1.5 * rows).requires_grad_(), loss.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_rows_opposite_to_their_proxies_stay_finite_in_single_precision(labels):
    loss = ProxyAnchor(3, 2)
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[-1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]))
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    found = loss(rows, torch.tensor(labels))
    found.backward()
    assert found.isfinite()
    assert rows.grad.isfinite().all()
    assert loss.proxies.grad.isfinite().all()


def test_eleven_thousand_classes_need_no_more_than_a_matrix():
    classes, dim, rows = 11_318, 512, 128
    with torch.device("meta"), Work() as work:  # shapes alone: nothing is computed
        loss = ProxyAnchor(classes, dim)
        loss(torch.randn(rows, dim), torch.arange(rows)).backward()
    assert work.elements == classes * dim  # the proxies themselves; rows x classes is smaller


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_proxies_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    loss = ProxyAnchor(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.proxies)]
    assert group["rate"] == pytest.approx(2e-3 * factor)
    assert group["weight_decay"] == 0
