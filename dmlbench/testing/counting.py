"""Counting what is allocated instead of timing it: the same on every machine."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestTensor(TorchDispatchMode):
    """Inside it, `elements` is the size of the largest storage that any operation made.

    A view makes none: an expanded mask costs nothing until somebody computes with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(answer):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self.elements = max(self.elements, storage.nbytes() // leaf.element_size())
        return answer
