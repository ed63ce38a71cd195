"""Every loss and miner of PML through the real loop."""

import pytest
import torch
from dmlbench_plugins.pml.loss_table import LOSSES
from dmlbench_plugins.pml.miner_table import MINERS
from dmlbench_plugins.pml.names import id_of

from dmlbench.errors import ContractError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method, Term

from ..train.helpers import saved, train

SETTINGS = {"RankedListLoss": {"margin": 0.4, "Tn": 2.0}, "ManifoldLoss": {"K": 5}}
MINER_OF = {"pairs": "pml:multi-similarity-miner", "triplets": "pml:triplet-margin-miner"}


def recipe(name, mined="none", **miner):
    settings = {**SETTINGS.get(name, {}), **({} if mined == "none" else {"mined": mined})}
    users = {"miner": "miner"} if miner else {}
    term = Term(component=f"pml:{id_of(name)}", settings=settings, **users)
    miners = {"miner": Component(**miner)} if miner else {}
    return Method(id="toy", summary="toy", fidelity="reconstruction", terms={"loss": term}, miners=miners)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_trains_and_a_resumed_run_equals_an_uninterrupted_one(name, make, weights):
    whole, first, resumed = make(recipe(name)), make(recipe(name)), make(recipe(name))
    start = weights(whole)
    logs = train(whole, 4)
    train(first, 2)
    resumed.load_state_dict(saved(first))
    train(resumed, 2)
    assert all(torch.tensor(log["loss"]).isfinite() for log in logs)
    assert not torch.equal(weights(whole), start)
    assert torch.equal(weights(whole), weights(resumed))
    parameters = whole.recipe.modules.get("loss")
    assert all(map(torch.equal, parameters.parameters(), resumed.recipe.modules["loss"].parameters()))
    saved(whole)


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if loss.reads in ("pairs", "rows")])
@pytest.mark.parametrize("mined", ["pairs", "triplets"])
def test_a_loss_trains_with_a_miner(name, mined, make):
    trainer = make(recipe(name, mined, component=MINER_OF[mined]))
    logs = train(trainer, 2)
    assert all(torch.tensor(log["loss"]).isfinite() for log in logs)
    saved(trainer)


@pytest.mark.parametrize("name", MINERS)
def test_a_miner_serves_our_losses_and_theirs(name, make):
    miner = {"component": f"pml:{id_of(name)}"}
    mined = MINERS[name].yields
    trainer = make(recipe("MarginLoss", mined, **miner))
    train(trainer, 3)
    saved(trainer)
    if mined == "triplets":
        ours = Method(
            id="toy",
            summary="toy",
            fidelity="reconstruction",
            miners={"miner": Component(**miner)},
            terms={"loss": Term(component="dmlbench:triplet", miner="miner")},
        )
        assert train(make(ours), 1)[0]["loss"] >= 0


def test_their_weights_learn_in_the_main_group(make):
    trainer = make(recipe("ArcFaceLoss"))
    weight = trainer.recipe.terms["loss"].module.pml.W
    before = weight.detach().clone()
    train(trainer, 1)
    assert trainer.optimisation.objective_of[weight] == "main"
    assert not torch.equal(weight, before)


def test_a_loss_that_should_read_a_choice_says_that_nobody_makes_it(make):
    with pytest.raises(ContractError, match=r"'pairs'.*which nothing in this recipe provides") as caught:
        make(recipe("CircleLoss", "pairs"))
    assert caught.value.way_out == "a miner that yields pairs"


def test_a_loss_of_rows_refuses_refs(make):
    term = Term(component="pml:margin-loss", refs="memory", memory=64)
    method = Method(id="toy", summary="toy", fidelity="reconstruction", terms={"loss": term})
    with pytest.raises(ContractError, match="its loss reads no refs"):
        make(method)


# ---- theirs and ours


def first_value(make, terms, **miner):
    miners = {"miner": Component(**miner)} if miner else {}
    method = Method(id="toy", summary="t", fidelity="reconstruction", terms={"loss": terms}, miners=miners)
    return train(make(method), 1)[0]["loss"]


def test_contrastive_is_the_same_loss(make):
    ours = first_value(make, Term(component="dmlbench:contrastive"))
    theirs = first_value(make, Term(component="pml:contrastive-loss"))
    assert theirs == pytest.approx(ours, rel=1e-5)


@pytest.mark.parametrize("epsilon", [0.1, 0.0001])
def test_multi_similarity_is_their_loss_with_their_miner(make, epsilon):
    ours = first_value(make, Term(component="dmlbench:multi-similarity", settings={"epsilon": epsilon}))
    settings = {"beta": 40, "mined": "pairs"}
    theirs = Term(component="pml:multi-similarity-loss", settings=settings, miner="miner")
    miner = {"component": "pml:multi-similarity-miner", "settings": {"epsilon": epsilon}}
    assert first_value(make, theirs, **miner) == pytest.approx(ours, rel=1e-5)


def test_their_triplet_loss_does_not_square_the_distances(make):
    miner = {"component": "dmlbench:semihard"}
    ours = first_value(make, Term(component="dmlbench:triplet", miner="miner"), **miner)
    settings = {"margin": 0.2, "mined": "triplets"}
    theirs = first_value(
        make, Term(component="pml:triplet-margin-loss", settings=settings, miner="miner"), **miner
    )
    assert theirs != pytest.approx(ours, rel=1e-2)
