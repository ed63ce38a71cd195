"""State of any shape that survives a restart."""

import io

import pytest
import torch

from dmlbench.api import State
from dmlbench.errors import ContractError


def test_values_of_any_shape_survive_a_checkpoint():
    state = State(banks={}, age=0)
    state.banks = {3: torch.ones(2), 1: torch.zeros(5)}
    state.age = 7
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    buffer.seek(0)
    again = State(banks={}, age=0)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert again.age == 7
    assert torch.equal(again.banks[3], torch.ones(2))


def test_a_field_that_was_not_declared_is_an_error():
    with pytest.raises(ContractError) as caught:
        State(banks={}).bank = {}
    assert caught.value.near == "banks"


def test_a_checkpoint_of_another_component_is_refused():
    with pytest.raises(ContractError, match="saved state"):
        State(a=1).load_state_dict(State(b=1).state_dict())
