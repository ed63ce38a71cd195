"""Work counted instead of timed: the same on every machine."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Work(TorchDispatchMode):
    """Inside it: how many tensor operations ran, and the elements of the largest tensor that one answered."""

    def __init__(self):
        super().__init__()
        self.operations = 0
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        answer = function(*args, **(kwargs or {}))
        self.operations += 1
        sizes = [leaf.numel() for leaf in tree_leaves(answer) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return answer
