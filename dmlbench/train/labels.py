"""The training labels as they are now, and that nobody changes them but by `relabel`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.train.calling import judging
from dmlbench.train.classes import by_class, checked_labels
from dmlbench.train.component import Built


class TrainingLabels:
    """`now` and `by_class` are lent to components; what they should hold is kept apart."""

    def __init__(self, labels: Int[Tensor, " n"]) -> None:
        self.set(labels)

    def set(self, labels: Int[Tensor, " n"]) -> None:
        """Take `labels` from now on."""
        self._kept = labels.clone()
        self.now = labels.clone()
        self.by_class = by_class(self.now)

    def answer(self, built: Built, labels: Any, num_classes: int) -> None:
        """Take what a component's event `relabel` returned; None leaves everything as it is."""
        if labels is not None:
            with judging(built, "relabel"):
                self.set(checked_labels(labels, self.now, num_classes, built.name))

    def check(self) -> None:
        """Raise `ContractError` when somebody changed them in place, by whatever door."""
        expected = by_class(self._kept)
        if (
            not torch.equal(self.now, self._kept)
            or expected.keys() != self.by_class.keys()
            or not all(torch.equal(members, self.by_class[label]) for label, members in expected.items())
        ):
            raise ContractError(
                "a component changed the training labels in place (train_labels or by_class)",
                way_out="a component that gives other labels returns them from its event `relabel`",
            )
