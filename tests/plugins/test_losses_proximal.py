"""The proximal regulariser, and alternating projections through the real loop."""

import pytest
import torch
from dmlbench_plugins.losses.proximal import Proximal
from torch import nn

from dmlbench.api import UsageError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Term

from ..train.helpers import saved, train
from .test_methods import method as load


def parameter(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def at(outer_step):
    return torch.full((3,), outer_step)


# ---- the value


def test_its_value_and_gradient_worked_out_by_hand():
    proximal, theta = Proximal(strength=2e-4), parameter(0.0, 4.0)
    proximal.before_main({"w": theta}, at(1))
    theta.data.copy_(torch.tensor([1.0, 2.0]))
    value = proximal({"w": theta})
    assert value.item() == pytest.approx(0.0005, rel=0, abs=1e-15)
    assert torch.autograd.grad(value, theta)[0].tolist() == pytest.approx([0.0002, -0.0004], rel=0, abs=1e-15)


def test_right_after_a_snapshot_there_is_neither_value_nor_gradient():
    proximal, theta = Proximal(), parameter(3.0, -2.0)
    for outer_step in (1, 2):
        proximal.before_main({"w": theta}, at(outer_step))
        value = proximal({"w": theta})
        assert value.item() == 0
        assert torch.autograd.grad(value, theta)[0].tolist() == [0, 0]
        theta.data.add_(1.0)


def test_the_snapshot_is_taken_when_an_outer_step_begins_and_is_a_copy():
    proximal, theta = Proximal(strength=2.0), parameter(1.0)
    proximal.before_main({"w": theta}, at(1))
    theta.data.fill_(4.0)
    proximal.before_main({"w": theta}, at(1))
    assert proximal({"w": theta}).item() == 9
    proximal.before_main({"w": theta}, at(2))
    assert proximal({"w": theta}).item() == 0


def test_the_first_outer_step_has_nothing_to_stay_near_to():
    proximal, theta = Proximal(strength=2.0), parameter(1.0)
    proximal.before_main({"w": theta}, at(0))
    theta.data.fill_(4.0)
    assert proximal({"w": theta}).item() == 0


def test_its_strength_decays_by_outer_steps():
    proximal, theta = Proximal(strength=2.0, decay=0.5), parameter(0.0)
    for outer_step, expected in ((1, 0.5), (2, 0.25), (5, 2**-5)):
        theta.data.fill_(0.0)
        proximal.before_main({"w": theta}, at(outer_step))
        theta.data.fill_(1.0)
        assert proximal({"w": theta}).item() == expected


def test_frozen_weights_are_left_out():
    proximal = Proximal(strength=2.0)
    frozen, theta = nn.Parameter(torch.zeros(1), requires_grad=False), parameter(0.0)
    proximal.before_main({"f": frozen, "w": theta}, at(1))
    assert proximal.start.weights.keys() == {"w"}
    frozen.data.fill_(5.0)
    assert proximal({"f": frozen, "w": theta}).item() == 0


def newton(value, theta):
    """The minimum of a function that is quadratic around theta."""
    gradient = torch.autograd.grad(value(theta), theta)[0]
    theta.data.sub_(torch.linalg.solve(torch.autograd.functional.hessian(value, theta.detach()), gradient))


@pytest.mark.parametrize(("strength", "expected"), [(1.0, 2.0), (1e-12, 3.0), (1e12, 0.0)])
def test_a_proximal_step_lies_between_the_minimum_and_the_snapshot(strength, expected):
    proximal, theta = Proximal(strength=strength), parameter(0.0)
    proximal.before_main({"w": theta}, at(1))
    newton(lambda w: (w - 3.0).square().sum() + proximal({"w": w}), theta)
    assert theta.item() == pytest.approx(expected, abs=1e-9)


def test_in_turn_the_projections_onto_two_half_planes_meet_in_both():
    proximal, theta = Proximal(strength=1.0), parameter(0.0, 0.0)
    violations = [lambda w: 1 - w[0], lambda w: w[0] + 1 - w[1]]  # x >= 1, y >= x + 1
    places = []
    for outer_step in range(1, 61):
        violation = violations[(outer_step - 1) % 2]
        proximal.before_main({"w": theta}, at(outer_step))
        newton(lambda w, v=violation: 1e9 * v(w).relu().square() + proximal({"w": w}), theta)
        places.append(theta.tolist())
    expected = [1, 0], [0, 1], [1, 1], [0.5, 1.5], [1, 1.5], [0.75, 1.75], [1, 1.75], [0.875, 1.875]
    for place, wanted in zip(places, expected, strict=False):
        assert place == pytest.approx(wanted, abs=1e-6)
    assert places[-1] == pytest.approx([1, 2], abs=1e-6)


@pytest.mark.parametrize("options", [{"strength": -1e-4}, {"decay": -0.5}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=r"strength = .* and decay = "):
        Proximal(**options)


# ---- in the real loop


def recipe(method, loss="contrastive", strength=0.05, refs="same", **sampler):
    settings = {"per_class": 4, "lifetime": 4, **sampler}
    terms = {"loss": Term(component=f"dmlbench:{loss}", refs=refs)}
    if strength is not None:
        terms["proximal"] = Term(component="dmlbench:proximal", settings={"strength": strength})
    return method(
        terms=terms, sampler=Component(component="dmlbench:pinned-representatives", settings=settings)
    )


LOSSES = ["contrastive", "multi-similarity", "proxy-nca", "supcon"]


@pytest.mark.parametrize("loss", LOSSES)
def test_strength_0_is_the_plain_loss_bit_for_bit(loss, make, method, weights):
    with_it, without = (make(recipe(method, loss, strength)) for strength in (0.0, None))
    ours, theirs = train(with_it, 10), train(without, 10)
    assert [log["loss"] for log in ours] == [log["loss"] for log in theirs]
    assert torch.equal(weights(with_it), weights(without))


@pytest.mark.parametrize("loss", LOSSES)
def test_it_counts_from_the_second_step_after_a_snapshot_on(loss, make, method):
    logs = train(make(recipe(method, loss)), 12)
    near = [log["proximal"] == 0 for log in logs]
    assert near == [True] * 5 + [False] * 3 + [True] + [False] * 3


@pytest.mark.parametrize("hard", [0.0, 0.7])
@pytest.mark.parametrize("cut", [2, 3, 4, 5, 7, 8])
def test_a_run_cut_anywhere_resumes_to_the_same_bits(cut, hard, make, method, weights):
    told = recipe(method, hard=hard)  # three steps to an epoch, four to an outer step
    whole, first, resumed = (make(told, extra_forwards=2) for _ in range(3))
    logs = train(whole, 13)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    assert train(resumed, 13 - cut) == logs[cut:]
    assert torch.equal(weights(whole), weights(resumed))


def test_statistics_and_parameters_of_losses_are_no_part_of_the_snapshot(make, method):
    trainer = make(recipe(method, "proxy-nca"))
    train(trainer, 6)
    held = trainer.recipe.terms["proximal"].module.start.weights
    assert held.keys() == dict(trainer.recipe.model.named_parameters()).keys()
    assert sum(v.numel() for v in held.values()) == sum(p.numel() for p in trainer.recipe.model.parameters())
    assert not any("running" in name or "proxies" in name for name in held)


@pytest.mark.slow
def test_weights_drift_no_farther_than_a_projection_may(make, method, weights):
    """The loss falls by no more than it is: strength / 2 drift^2 <= loss at the snapshot."""

    def drift(strength):
        trainer = make(recipe(method, strength=strength, lifetime=20), budget=16 * 80)
        train(trainer, 20)  # the first outer step is free
        start = weights(trainer)
        loss = train(trainer, 20)[0]["loss"]
        return (weights(trainer) - start).norm().item(), (2 * loss / 100) ** 0.5

    (free, bound), (weak, _), (strong, _) = (drift(strength) for strength in (0.0, 10.0, 100.0))
    assert strong < bound < free  # 0.019, 0.16, 0.21
    assert 5 * strong < weak < free


def test_images_are_compared_with_representatives_alone(make, method):
    alone = train(make(recipe(method, refs="is_representative")), 2)
    everybody = train(make(recipe(method)), 2)
    assert alone[0]["loss"] != everybody[0]["loss"]


# ---- recipes


@pytest.mark.parametrize(
    "name",
    ["alternating-projections", "alternating-projections-hard-classes", "alternating-projections-reference"],
)
def test_the_loss_is_that_of_contrastive(name):
    ours, base = load(name).terms["loss"], load("contrastive").terms["loss"]
    assert (ours.component, ours.settings) == (base.component, base.settings)
    assert load(name).terms["proximal"].component == "proximal"
