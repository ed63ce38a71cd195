import math

import pytest
import torch
from dmlbench_plugins.losses.frobenius_norm import frobenius_norm
from dmlbench_plugins.losses.gaussian_structure import gaussian_structure, posterior
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from dmlbench.api import UsageError

from .counting import Work

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

LINE = torch.tensor([[0.0], [1.0], [1.5], [2.5]], dtype=torch.float64)
AB = torch.tensor([0, 0, 1, 1])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def value(rows, labels, sigma=1.0, mixing="none", seed=0):
    return gaussian_structure(rows, labels, generator(seed), sigma=sigma, mixing=mixing)


def by_loops(rows, targets, means, sigma):
    """The loss of rows with targets {class: share} around means {class: point}, over Python floats."""
    total = 0.0
    for row, target in zip(rows, targets, strict=True):
        square = {c: sum((a - b) ** 2 for a, b in zip(row, m, strict=True)) for c, m in means.items()}
        near = min(square.values())
        weight = {c: math.exp(-(s - near) / (2 * sigma**2)) for c, s in square.items()}
        total += sum((w / sum(weight.values()) - target.get(c, 0.0)) ** 2 for c, w in weight.items())
    return total / len(rows)


def means_of(rows, labels):
    groups = {}
    for row, label in zip(rows, labels, strict=True):
        groups.setdefault(label, []).append(row)
    return {c: [sum(x) / len(group) for x in zip(*group, strict=True)] for c, group in groups.items()}


# ---- known answers


def test_known_posteriors():
    found = posterior(LINE, torch.tensor([[0.5], [2.0]]).double(), 1.0)[:, 0]
    expected = [0.867035759802171, 0.592666599954070, 0.407333400045930, 0.132964240197828]
    assert found.tolist() == pytest.approx(expected, rel=0, abs=1e-14)
    near = posterior(LINE, torch.tensor([[0.5], [2.0]]).double(), 0.5)[0, 0].item()
    assert near == pytest.approx(0.999447221363076, abs=1e-14)


@pytest.mark.parametrize(
    ("sigma", "expected", "gradient"),
    [
        (1.0, 0.183599987964364, (0.0667379451188, 0.1912481279523)),
        (0.5, 0.033279377300245, (0.0272114789912, 0.1904583644761)),
    ],
)
def test_known_values_and_gradients_through_the_means(sigma, expected, gradient):
    rows = LINE.clone().requires_grad_()
    found = value(rows, AB, sigma)
    found.backward()
    assert found.item() == pytest.approx(expected, rel=0, abs=1e-14)
    outer, inner = gradient
    assert rows.grad.flatten().tolist() == pytest.approx([outer, inner, -inner, -outer], rel=0, abs=1e-12)


@pytest.mark.parametrize(("sigma", "expected"), [(1.0, 0.00484860756535899), (0.5, 3.748657422e-8)])
def test_known_values_in_the_plane(sigma, expected):
    rows = torch.tensor([[0, 0], [2, 0], [0, 2], [0, 4], [4, 4], [4, 4]]).double()
    assert value(rows, torch.tensor([0, 0, 1, 1, 2, 2]), sigma).item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("classes", [2, 3])
def test_collapse_costs_one_less_a_share_and_has_no_gradient(classes):
    rows = torch.ones(2 * classes, 3, dtype=torch.float64, requires_grad=True)
    found = value(rows, torch.arange(classes).repeat(2), 0.5)
    found.backward()
    assert found.item() == pytest.approx(1 - 1 / classes, abs=1e-14)
    assert rows.grad.abs().max() < 1e-14


def test_known_mixtures(monkeypatch):
    rows, labels = torch.tensor([[0.0], [1.5]]).double(), torch.tensor([0, 1])
    monkeypatch.setattr(torch, "rand", lambda n, generator: torch.tensor([0.9, 0.25, 0.1]))
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.tensor([1, 0]))
    p = posterior(torch.tensor([[1.125]]).double(), rows, 1.0)[0].tolist()
    # From 0 (A) and 1.5 (B); the card's p is of means 0.5 and 2.
    first = (p[0] - 0.25) ** 2 + (p[1] - 0.75) ** 2
    q = posterior(torch.tensor([[0.375]]).double(), rows, 1.0)[0].tolist()
    second = (q[0] - 0.75) ** 2 + (q[1] - 0.25) ** 2
    real = 2 * value(rows, labels).item()
    found = {mixing: 4 * value(rows, labels, mixing=mixing).item() for mixing in ("soft", "code")}
    assert found["soft"] == pytest.approx(real + first + second, abs=1e-12)
    zero_target = p[0] ** 2 + p[1] ** 2 + q[0] ** 2 + q[1] ** 2
    assert found["code"] == pytest.approx(real + zero_target, abs=1e-12)


def test_the_two_targets_of_one_mixed_row():
    p = posterior(torch.tensor([[1.125]]).double(), torch.tensor([[0.5], [2.0]]).double(), 1.0)[0]
    assert p.tolist() == pytest.approx([0.546738151984614, 0.453261848015386], abs=1e-14)
    soft = (p - torch.tensor([0.25, 0.75])).square().sum().item()
    assert (soft, p.square().sum().item()) == pytest.approx((0.176107061686488, 0.504368909701874), abs=1e-12)


# ---- against loops and another library


@few
@seeds
@pytest.mark.parametrize("mixing", ["none", "soft", "code"])
def test_it_equals_a_plain_loop(batch, mixing, seed):
    unit, labels = batch(seed=seed)
    rows = (1.5 * unit).tolist()
    targets, members = [{c: 1.0} for c in labels.tolist()], list(zip(rows, labels.tolist(), strict=True))
    everything = list(rows)
    if mixing != "none":
        draw = generator(seed)
        share = sorted(torch.rand(3, generator=draw).tolist())[1]
        for i, j in enumerate(torch.randperm(len(rows), generator=draw).tolist()):
            mixed = [share * a + (1 - share) * b for a, b in zip(rows[i], rows[j], strict=True)]
            a, b = labels[i].item(), labels[j].item()
            everything.append(mixed)
            if a == b:
                targets.append({a: 1.0})
                if mixing == "code":
                    members.append((mixed, a))
            else:
                targets.append({a: share, b: 1 - share} if mixing == "soft" else {})
    means = means_of(*zip(*members, strict=True))
    expected = by_loops(everything, targets, means, 0.6)
    found = value(1.5 * unit, labels, 0.6, mixing, seed)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_the_posterior_is_that_of_a_mixture_of_equal_gaussians(batch):
    rows, labels = batch(seed=1)
    means = torch.stack([rows[labels == c].mean(dim=0) for c in range(4)])
    theirs = GaussianMixture(4, covariance_type="spherical")
    theirs.weights_, theirs.means_ = torch.full((4,), 0.25).numpy(), means.numpy()
    theirs.precisions_cholesky_ = torch.full((4,), 1 / 0.5).double().numpy()
    expected = torch.from_numpy(theirs.predict_proba(rows.numpy()))
    assert torch.allclose(posterior(rows, means, 0.5), expected, atol=1e-12)


@pytest.mark.parametrize("mixing", ["none", "soft", "code"])
def test_gradients_agree_with_finite_differences(batch, mixing):
    rows, labels = batch(seed=2)
    assert torch.autograd.gradcheck(lambda z: value(z, labels, 0.7, mixing), (rows.requires_grad_(),))


# ---- properties


@few
@seeds
def test_moving_turning_and_scaling_with_the_width_change_nothing(batch, seed):
    rows, labels = batch(seed=seed)
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator(seed)))[0]
    expected = value(rows, labels, 0.5).item()
    assert value(rows @ turn + 7.0, labels, 0.5).item() == pytest.approx(expected, rel=1e-9)
    assert value(3 * rows, labels, 1.5).item() == pytest.approx(expected, rel=1e-9)
    assert value(rows, 100 * labels + 5, 0.5).item() == pytest.approx(expected, rel=1e-12)
    assert 0 <= expected <= 2


def test_limits_of_the_width(batch):
    rows, labels = batch(seed=3)
    assert value(rows, torch.zeros_like(labels)).item() == 0
    assert value(rows, labels, 1e6).item() == pytest.approx(1 - 1 / 4, abs=1e-9)
    means = torch.stack([rows[labels == c].mean(dim=0) for c in range(4)])
    wrong = (torch.cdist(rows, means).argmin(dim=1) != labels).double().mean().item()
    assert wrong > 0
    assert value(rows, labels, 1e-3).item() == pytest.approx(2 * wrong, abs=1e-9)


def test_far_classes_are_told_apart_in_single_precision():
    rows = torch.tensor([[0.0], [40.0], [100.0], [140.0]], requires_grad=True)
    found = value(rows, AB, 0.5)
    found.backward()
    assert found.item() == 0
    assert rows.grad.isfinite().all()


def test_the_share_of_a_mixture_is_distributed_as_beta_2_2():
    draw = generator()
    shares = torch.stack([torch.rand(3, generator=draw).median() for _ in range(4000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(0.05, abs=0.005)


def test_memory_follows_rows_and_the_classes_of_the_batch():
    rows, labels = torch.randn(128, 512, requires_grad=True), 88 * (torch.arange(128) // 4)
    with Work() as work:
        gaussian_structure(rows, labels, generator()).backward()
    assert work.elements <= 2 * 128 * 512  # the rows and as many mixed ones


def test_a_width_of_zero_is_refused():
    with pytest.raises(UsageError, match="sigma"):
        value(LINE, AB, 0.0)


def test_the_frobenius_norm_is_not_squared():
    assert frobenius_norm(torch.tensor([[1.0, 2.0], [2.0, 4.0]])).item() == 5
