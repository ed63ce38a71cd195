"""Calling PML's objects without letting them remember."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def scratch(module: _Module) -> _Module:
    """A copy for one call, which shares parameters and buffers with `module` and nothing else.

    In every call PML notes counts, divisors and casts as attributes of the object and of its parts. Nobody
    reads them here, and a checkpoint cannot tell them from state that it misses.
    """
    twin = copy.copy(module)
    twin._modules = {name: child and scratch(child) for name, child in module._modules.items()}
    return twin
