"""Losses of pairs and tuples through the real loop, their anchors against rows of past steps."""

import pytest
import torch

from dmlbench.spec.component import Component
from dmlbench.spec.method import Method, Term

from ..train.helpers import saved, train

MEMORY = {"refs": "memory", "memory": 1024}
MINER_OF = {
    "contrastive": "",
    "binomial-deviance": "",
    "multi-similarity": "",
    "pair-weighting": "",
    "cbml": "",
    "variance-constraint": "",
    "circle": "",
    "supcon": "",
    "nt-xent": "",
    "lifted-structure": "",
    "lifted-structure-generalised": "",
    "margin-pairs": "",
    "margin": "distance-weighted",
    "margin-images": "distance-weighted",
    "triplet": "semihard",
    "triplet-soft-margin": "batch-hard",
    "triplet-euclidean": "easy-positive",
}


def recipe(loss, miner="", **flags):
    term = Term(component=f"dmlbench:{loss}", miner="miner" if miner else None, **flags)
    settings = {"farthest": 2.0} if miner == "distance-weighted" else {}  # an untrained network is wide open
    miners = {"miner": Component(component=f"dmlbench:{miner}", settings=settings)} if miner else {}
    return Method(id="toy", summary="toy", fidelity="reconstruction", terms={"loss": term}, miners=miners)


@pytest.mark.parametrize("loss", MINER_OF)
def test_with_a_memory_a_resumed_run_equals_an_uninterrupted_one(loss, make, weights):
    with_memory = recipe(loss, MINER_OF[loss], **MEMORY)
    whole, first, resumed = (make(with_memory) for _ in range(3))
    start = weights(whole)
    logs = train(whole, 5)
    train(first, 3)
    resumed.load_state_dict(saved(first))
    train(resumed, 2)
    assert all(torch.tensor(log["loss"]).isfinite() for log in logs)
    assert not torch.equal(weights(whole), start)
    assert torch.equal(weights(whole), weights(resumed))


@pytest.mark.parametrize("loss", MINER_OF)
def test_the_rows_of_the_memory_are_in_the_loss(loss, make):
    alone, with_memory = (train(make(recipe(loss, MINER_OF[loss], **flags)), 3) for flags in ({}, MEMORY))
    assert with_memory[0]["loss"] == alone[0]["loss"]  # it is empty still
    assert with_memory[2]["loss"] != alone[2]["loss"]
