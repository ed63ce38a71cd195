"""MATHM through the real loop: batches of both domains, a network that is told them, and resuming."""

import pytest
import torch

from dmlbench.errors import ContractError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method, Term

from ..train.helpers import saved, train

DOMAIN = {"domain": torch.arange(60) % 2}


def recipe(loss="mathm", **settings):
    terms = {
        "classification": Term(component="dmlbench:softmax-unbiased", view="raw"),
        "triplets": Term(component=f"dmlbench:{loss}", settings=settings),
    }
    return Method(
        id="toy",
        summary="toy",
        fidelity="reconstruction",
        terms=terms,
        sampler=Component(component="dmlbench:pk-domains", settings={"per_domain": [2, 2]}),
        backbone=Component(component="dmlbench:conv4-conditioned", settings={"width": 4, "reduction": 2}),
    )


@pytest.mark.parametrize("settings", [{}, {"released": True}, {"warm_up": 0.1}])
def test_a_resumed_run_equals_an_uninterrupted_one(make, weights, settings):
    whole, first, resumed = (make(recipe(**settings), columns=DOMAIN) for _ in range(3))
    start = weights(whole)
    logs = train(whole, 6)
    train(first, 3)
    resumed.load_state_dict(saved(first))
    train(resumed, 3)
    assert all(torch.tensor(log["loss"]).isfinite() for log in logs)
    assert not torch.equal(weights(whole), start)
    assert torch.equal(weights(whole), weights(resumed))


def test_the_log_has_each_part_and_they_add_up(make):
    (log,) = train(make(recipe(), columns=DOMAIN), 1)
    parts = [log[f"triplets.{part}"] for part in ("within", "across", "hybrid")]
    assert log["triplets"] == pytest.approx(sum(parts), rel=1e-5)
    assert log["loss"] == pytest.approx(log["classification"] + log["triplets"], rel=1e-5)


def test_triplets_wait_until_the_network_is_warm(make):
    logs = train(make(recipe(warm_up=0.2), columns=DOMAIN), 6)
    # 20 steps of 16 images are the budget: a fifth of it are four steps.
    assert [log["triplets"] > 0 for log in logs] == [False] * 4 + [True] * 2


def test_the_network_learns_to_tell_the_domains_apart(make):
    trainer = make(recipe(), columns=DOMAIN)
    train(trainer, 3)
    assert all(unit.tag.abs().sum() > 0 for unit in trainer.recipe.model.backbone.units)


def test_without_domains_it_is_refused_before_the_first_step(make):
    with pytest.raises(ContractError, match="asks for 'domain'") as error:
        make(recipe())
    assert "cross-modal/v1" in str(error.value)
