"""Whatever a component could remember in outside its state is noticed."""

import threading
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from dmlbench.train.audit import _digest


class Plain:
    def __init__(self, value):
        self.value = value


def itself(value):
    plain = Plain(value)
    plain.itself = plain
    return plain


def scaled(value):
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    nn.init.zeros_(layer.bias)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v,
        lambda v: [1, {"a": v}],
        lambda v: {v},
        lambda v: deque([v]),
        lambda v: np.full(3, v),
        lambda v: bytearray([v]),
        lambda v: torch.full((2,), v),
        lambda v: torch.Generator().manual_seed(v),
        lambda v: np.random.default_rng(v),
        lambda v: [scaled(v)],
        Plain,
        itself,
    ],
)
def test_equal_values_have_equal_digests_and_others_do_not(make):
    assert _digest(make(1)) == _digest(make(1))
    assert _digest(make(1)) != _digest(make(2))


def test_what_holds_nothing_that_could_be_saved_is_no_hindrance():
    assert _digest(threading.Lock()) == _digest(threading.Lock())
