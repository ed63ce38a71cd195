"""The ensemble of losses: its weights, what it makes of heads, and both in the real loop."""

import math

import pytest
import torch
from dmlbench_plugins.backbones.linear_share import LinearShare
from dmlbench_plugins.losses.loss_ensemble import LossEnsemble, distortion, likeness
from dmlbench_plugins.losses.proxy_nca import ProxyNca
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultipleLosses
from torch import nn
from torch.nn import functional

from dmlbench.api import ContractError, UsageError
from dmlbench.protocols import load_track
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe

from .test_methods import FACTS
from .test_methods import method as load

few = settings(max_examples=30, deadline=None, derandomize=True)
NO_HEADS: dict = {}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ensemble(*prior, heads=None, dim=2, **options):
    names = tuple("abcdef"[: len(prior)])
    told = dict(zip(names, map(float, prior), strict=True))
    options = {"diversity": 0.0, **options}
    return LossEnsemble(names, heads or ("main",) * len(prior), dim, prior=told, **options).double()


def combined(component, *losses, valid=None):
    """The value for losses of the terms a, b, …; those of `valid` counted."""
    parts = dict(zip(component.names, (torch.tensor(x, dtype=torch.float64) for x in losses), strict=True))
    counted = dict(zip(component.names, valid or [True] * len(losses), strict=True))
    return component(parts, counted, NO_HEADS)


def gradient(component, value):
    return torch.autograd.grad(value, component.roots)[0].tolist()


def close(expected, abs=1e-12):
    return pytest.approx(expected, rel=0, abs=abs)


# ---- weights


@pytest.mark.parametrize(
    ("prior", "roots", "weights"),
    [
        ((2, 1, 1), [0.645497224367903, 0.408248290463863, 0.408248290463863], [0.5, 0.25, 0.25]),
        (
            (2, 1, 2, 3),
            [0.433012701892219, 0.25, 0.433012701892219, 0.559016994374947],
            [0.25, 0.125, 0.25, 0.375],
        ),
    ],
)
def test_weights_begin_in_the_proportions_of_the_prior(prior, roots, weights):
    component = ensemble(*prior)
    assert component.roots.tolist() == close(roots, abs=1e-7)  # kept in fp32
    assert component.weights.tolist() == close(weights, abs=1e-7)


def exact(component, *prior):
    """The roots in fp64: constructed ones are fp32."""
    share = torch.tensor(prior, dtype=torch.float64) / sum(prior)
    component.roots.data.copy_((share - component.least).sqrt())
    return component


def test_two_batches_worked_out_by_hand():
    component = exact(ensemble(2, 1, 1), 2, 1, 1)
    value = combined(component, 2.0, 1.0, 6.0)
    assert value.item() == close(3)
    assert component.means.tolist() == [2, 1, 6]
    assert gradient(component, value) == close([3.872983346207417, 2.449489742783178, 2.449489742783178])
    value = combined(component, 4.0, 1.0, 2.0)
    assert value.item() == close(2.77777777777778)
    assert component.means.tolist() == close([3, 1, 4])
    assert gradient(component, value) == close([4.590202484393975, 2.177324215807269, 1.088662107903635])


def test_the_weights_are_held_to_a_sum_of_one():
    component = exact(ensemble(2, 1, 1), 2, 1, 1)
    component.roots.data.add_(0.01)
    assert component.weights.sum().item() == close(1.02953987610591)
    assert combined(component, 0.0, 0.0, 0.0).item() == close(8.72604280352658, abs=1e-10)


def test_a_loss_that_is_larger_by_a_factor_has_no_more_weight():
    small, large = (exact(ensemble(2, 1, 1), 2, 1, 1) for _ in range(2))
    for losses in ((2.0, 1.0, 6.0), (4.0, 1.0, 2.0)):
        first = gradient(small, combined(small, *losses))
        second = gradient(large, combined(large, losses[0], 1000 * losses[1], losses[2]))
        ratio = [b / a for a, b in zip(first, second, strict=True)]
        assert ratio == pytest.approx([ratio[0]] * 3)  # all by the mean of the means


def test_one_loss_alone_weighs_a_little_less_than_one():
    component = ensemble(1)
    for _ in range(200):
        value = combined(component, 1.0)
        slope = torch.autograd.grad(value, component.roots, create_graph=True)[0]
        component.roots.data.sub_(slope.detach() / torch.autograd.grad(slope.sum(), component.roots)[0])
    assert component.weights.item() == close(0.99995, abs=1e-9)


@few
@given(seed=st.integers(0, 9_999), momentum=st.sampled_from([0.0, 0.9]), members=st.integers(1, 5))
def test_means_and_value_equal_a_plain_loop(seed, momentum, members):
    stream = generator(seed)
    component = ensemble(*[1] * members, momentum=momentum)
    c = component.weights.tolist()
    means, counted = [0.0] * members, [0] * members
    for _ in range(6):
        losses = (3 * torch.rand(members, generator=stream)).tolist()
        valid = (torch.rand(members, generator=stream) < 0.7).tolist()
        value = combined(component, *losses, valid=valid)
        for i in range(members):
            if valid[i]:
                counted[i] += 1
                share = max(1 / counted[i], 1 - momentum) if momentum else 1 / counted[i]
                means[i] += share * (losses[i] - means[i])
        known = [m for m, n in zip(means, counted, strict=True) if n]
        middle = sum(known) / len(known) if known else 0.0
        expected = sum(c[i] * middle / means[i] * losses[i] for i in range(members) if valid[i])
        expected += 100 * 100 * (sum(c) - 1) ** 2
        assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_silent_hinge_divides_nothing_by_zero():
    component = ensemble(1, 1)
    for _ in range(3):
        value = combined(component, 0.0, 2.0)
    assert math.isfinite(value.item())
    assert all(map(math.isfinite, gradient(component, value)))


def test_no_gradient_goes_into_the_means():
    component = ensemble(1, 1)
    losses = torch.tensor([2.0, 6.0], dtype=torch.float64, requires_grad=True)
    value = component({"a": losses[0], "b": losses[1]}, {"a": True, "b": True}, NO_HEADS)
    scale = [0.5 * 4 / 2, 0.5 * 4 / 6]  # c (mean of means) / mean
    assert torch.autograd.grad(value, losses)[0].tolist() == pytest.approx(scale, rel=1e-6)
    assert not component.means.requires_grad


def test_held_and_unscaled_weights_are_a_fixed_sum():
    a, b = nn.L1Loss(), nn.MSELoss()
    rows, labels = torch.randn(8, 3, generator=generator()).double(), torch.randn(8, 3).double()

    class Loss(nn.Module):
        def __init__(self, loss):
            super().__init__()
            self.loss = loss

        def forward(self, embeddings, labels, indices_tuple=None):
            return self.loss(embeddings, labels)

    theirs = MultipleLosses([Loss(a), Loss(b)], weights=[0.75, 0.25])(rows, labels)
    component = exact(ensemble(3, 1, scaled=False), 3, 1)
    ours = component({"a": a(rows, labels), "b": b(rows, labels)}, {"a": True, "b": True}, NO_HEADS)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


def test_a_negative_loss_cannot_be_scaled():
    with pytest.raises(ContractError, match="b is negative"):
        combined(ensemble(1, 1), 1.0, -0.5)


def test_priors_too_small_or_of_no_term_are_refused():
    with pytest.raises(UsageError, match=r"the least share is 0\.0500, each of 2 terms needs 0\.1250"):
        ensemble(19, 1)
    with pytest.raises(UsageError, match=r"prior names \['z'\], the terms are a, b"):
        LossEnsemble(("a", "b"), ("main", "main"), 2, prior={"z": 1.0})


# ---- members


def test_proxies_that_are_longer_than_the_embedding():
    loss = ProxyNca(2, 2, form="softmax", scale_embedding=1.0, scale_proxy=3.0, label_smoothing=0.2).double()
    loss.proxies.data = torch.eye(2).double()  # 0.1 on the other of two classes is 0.2 on both
    found = loss(torch.tensor([[0.6, 0.8]], dtype=torch.float64), torch.tensor([1]))
    assert found.item() == close(0.383282467338032)


def test_heads_share_the_dimension_of_the_track():
    assert LinearShare(7, 12, parts=4)(torch.zeros(5, 7)).shape == (5, 3)
    with pytest.raises(UsageError, match="parts = 5 do not divide an embedding of 12"):
        LinearShare(7, 12, parts=5)


# ---- heads


def test_how_alike_heads_are():
    axes = [row[None] for row in torch.eye(3).double()]
    assert likeness(axes).item() == close(0.585786437626905)
    assert likeness([axes[0]] * 3).item() == close(2, abs=1e-5)
    assert likeness([axes[0], -axes[0]]).item() == 0
    assert likeness(axes[:1]) == 0


def test_heads_that_agree_have_a_finite_gradient():
    heads = [torch.ones(2, 3, requires_grad=True) for _ in range(2)]
    assert all(g.isfinite().all() for g in torch.autograd.grad(likeness(heads), heads))


def test_heads_of_different_widths_are_not_compared():
    with pytest.raises(ContractError, match=r"heads of widths \[2, 3\] cannot be compared"):
        likeness([torch.ones(4, 2), torch.ones(4, 3)])


def test_side_by_side_squared_distances_are_summed_with_the_weights():
    component = exact(ensemble(2, 1, 1, heads=("x", "y", "z")), 2, 1, 1)
    pair = torch.tensor([[[1, 0], [0, 0]], [[0, 1], [0, 3]], [[1, 1], [1, 0]]], dtype=torch.float64)
    fused = component.fuse(dict(zip("xyz", pair, strict=True)))
    assert fused.shape == (2, 6)
    assert (fused[0] - fused[1]).square().sum().item() == close(1.75)


def test_losses_of_one_head_add_their_weights():
    component = exact(ensemble(2, 1, 1, heads=("x", "y", "x")), 2, 1, 1)
    rows = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert component.fuse({"x": rows, "y": rows})[0].tolist() == close([0.75**0.5, 0, 0.25**0.5, 0])


def test_the_distortion_of_three_points():
    short = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    long = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert distortion(short, long).item() == close(2.06916132078400)
    assert distortion(7 * short, 0.3 * long).item() == close(2.06916132078400)
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=torch.float64)
    assert distortion(2.5 * long @ turn, long).item() == close(0)
    assert distortion(short, torch.ones(3, 2).double()) is None


def test_the_distortion_agrees_with_finite_differences():
    long = torch.randn(5, 4, generator=generator(1)).double()
    short = torch.randn(5, 2, generator=generator(2)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: distortion(rows, long), short)


# ---- recipes


@pytest.mark.parametrize("name", ["loss-ensemble", "loss-ensemble-shared", "loss-ensemble-compressed"])
def test_a_recipe_has_the_authors_members_and_prior(name):
    found = Recipe(
        load(name), load_track("emoji-conv4-32px-d128"), FACTS, set(), Numerics("cpu-fp32"), seed=0
    )
    assert found.facts["term_heads"] == tuple(term.head for term in found.method.terms.values())
    assert found.combiner.module.weights.tolist() == close([0.25, 0.125, 0.25, 0.375], abs=1e-7)
    assert found.combiner.settings["eta"] == 100.0
    assert found.combiner.settings["diversity"] == (0.01 if name == "loss-ensemble-shared" else 0.1)
    assert found.terms["softmax"].settings["smoothing"] == 0.15
    assert found.terms["triplet"].settings["margin"] == 1.0
    assert found.terms["deviance"].settings == {"alpha": 2.0, "beta": 25.0, "base": 0.5}
    proxies = found.terms["proxies"].settings
    assert (proxies["scale_embedding"], proxies["scale_proxy"], proxies["label_smoothing"]) == (1.0, 3.0, 0.1)


@pytest.mark.parametrize("name", ["loss-ensemble", "loss-ensemble-compressed", "loss-ensemble-shared"])
def test_what_is_scored_is_as_wide_as_the_track_says(name):
    track = load_track("emoji-conv4-32px-d128")
    found = Recipe(load(name), track, FACTS, set(), Numerics("cpu-fp32"), seed=0)
    heads = {h: functional.normalize(torch.ones(2, w), dim=1) for h, w in found.head_widths.items()}
    scored = found.combiner.module.fuse(heads) if found.method.readout == "fused" else heads["main"]
    assert scored.shape[1] == track.dimension


# ---- size


def test_eleven_thousand_classes_add_nothing():
    component = LossEnsemble(("a", "b", "c", "d"), ("w", "x", "y", "z"), 128, compressed=512)
    held = sum(value.numel() for value in component.state_dict().values())
    assert held == 3 * 4 + 4 * 128 * 256 + 256 * 512
