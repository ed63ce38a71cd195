"""Each parameter in one group, each group in one objective; core alone steps."""

from decimal import Decimal

import pytest
import torch
from torch import nn

from dmlbench.api import ParamGroup
from dmlbench.errors import ContractError
from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import SCHEDULES, Optimisation

TRACK = Optimiser(name="sgd", rate=Decimal("0.5"), weight_decay=0, schedule="cosine")


class Two(nn.Module):
    def __init__(self, **group):
        super().__init__()
        self.plain = nn.Parameter(torch.ones(2))
        self.own = nn.Parameter(torch.ones(2))
        self.group = group

    def param_groups(self):
        return [ParamGroup([self.own], **self.group)]


def stepped(module, objective="main", loss=None, progress=0.0, held=()):
    optimisation = Optimisation({"m": module}, TRACK)
    loss = (module.plain + module.own).sum() if loss is None else loss
    optimisation.step(objective, loss, progress, "test", held)
    return (1 - module.plain[0]).item(), (1 - module.own[0]).item()


def test_groups_have_their_own_rates_and_the_rest_the_tracks():
    assert stepped(Two(rate_factor=0.5)) == pytest.approx((0.5, 0.25))
    assert stepped(Two(rate=0.1)) == pytest.approx((0.5, 0.1))


def test_a_loss_reaches_only_its_own_objective():
    assert stepped(Two(objective="other")) == pytest.approx((0.5, 0.0))
    assert stepped(Two(objective="other"), objective="other") == pytest.approx((0.0, 0.5))


def test_held_parameters_are_left_alone_weight_decay_included():
    module = Two(weight_decay=0.5)
    assert stepped(module, held=[module.own]) == pytest.approx((0.5, 0.0))


def test_rates_follow_the_schedule_of_the_group():
    assert stepped(Two(schedule="constant"), progress=0.5) == pytest.approx((0.25, 0.5))
    assert [SCHEDULES["cosine"](p) for p in (0, 0.5, 1, 1.2)] == pytest.approx([1, 0.5, 0, 0])


def test_gradients_are_clipped_by_group():
    assert stepped(Two(clip_norm=1.0))[1] == pytest.approx(0.5 / 2**0.5, rel=1e-4)


def test_every_optimiser_of_the_contract_can_be_asked_for():
    for name in ("adam", "adamw", "sgd", "rmsprop"):
        assert stepped(Two(optimiser=name, rate=0.1))[1] > 0
    assert stepped(Two(optimiser="adam", rate=0.1, options={"eps": 1.0}))[1] == pytest.approx(0.05)


def test_a_parameter_claimed_twice_is_an_error():
    module = Two()
    with pytest.raises(ContractError, match="claimed by a and by b"):
        Optimisation({"a": module, "b": module}, TRACK)


def test_a_group_without_parameters_is_an_error():
    class Empty(Two):
        def param_groups(self):
            return [ParamGroup([])]

    with pytest.raises(ContractError, match="without parameters"):
        Optimisation({"m": Empty()}, TRACK)


def test_an_objective_that_nobody_declared_is_an_error():
    with pytest.raises(ContractError, match="'critik'"):
        stepped(Two(objective="critic"), objective="critik")
