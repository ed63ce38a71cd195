"""Training labels as they stand, and the images of each class."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from dmlbench.errors import ContractError


def by_class(labels: Int[Tensor, " n"]) -> dict[int, Int[Tensor, " m"]]:
    """Training indices of each class that has any, by ascending class; label -1 is left out.

    >>> by_class(torch.tensor([1, 0, -1, 1]))
    {0: tensor([1]), 1: tensor([0, 3])}
    """
    order = torch.argsort(labels, stable=True)
    values, counts = torch.unique_consecutive(labels[order], return_counts=True)
    parts = torch.split(order, counts.tolist())
    return {int(value): part for value, part in zip(values, parts, strict=True) if value >= 0}


def checked_labels(
    new: Int[Tensor, " n"], old: Int[Tensor, " n"], num_classes: int, owner: str
) -> Int[Tensor, " n"]:
    """`new` as the training labels; raises `ContractError` when they do not fit the training set."""
    new = new.detach().cpu()
    if new.shape != old.shape or new.dtype != torch.int64:
        raise ContractError(
            f"{owner}.relabel returned {new.dtype} of shape {tuple(new.shape)}",
            way_out=f"int64 of shape {tuple(old.shape)}; -1 leaves an image out",
        )
    if int(new.min()) < -1 or int(new.max()) >= num_classes:
        raise ContractError(
            f"{owner}.relabel returned labels from {int(new.min())} to {int(new.max())}",
            way_out=f"labels are -1 to {num_classes - 1}",
        )
    if int(new.max()) < 0:
        raise ContractError(f"{owner}.relabel left out every image")
    return new.clone()
