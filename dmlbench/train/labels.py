"""What the training images are labelled with, and that nobody changes it but by `relabel`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.train.calling import judging
from dmlbench.train.classes import by_class, checked_labels
from dmlbench.train.component import Built
from dmlbench.train.scope import Lazy

Embed = Callable[[Int[Tensor, " n"]], Float[Tensor, "n dim"]]
"""Training indices to raw embeddings, in evaluation mode."""


class TrainingLabels:
    """One class an image, as it is now. `now` and `by_class` are lent to components; what they should hold is
    kept apart."""

    def __init__(self, labels: Int[Tensor, " n"], num_classes: int) -> None:
        self._num_classes = num_classes
        self._first = labels.clone()
        self.set(labels)

    def set(self, labels: Int[Tensor, " n"]) -> None:
        """Take `labels` from now on."""
        self._kept = labels.clone()
        self.now = labels.clone()
        self.by_class = by_class(self.now)

    def start_epoch(self, epoch: int, images_seen: int, embed: Embed) -> None:
        """Labels that were given stay; those that core makes itself may change here."""

    def answer(self, built: Built, labels: Any) -> None:
        """Take what a component's event `relabel` returned; None leaves everything as it is."""
        if labels is not None:
            with judging(built, "relabel"):
                most = max(self._num_classes, getattr(built.object, "max_classes", 0))
                self.set(checked_labels(labels, self.now, most, built.name))

    @property
    def left_out(self) -> Bool[Tensor, " n"]:
        """The images that do not train now."""
        return self.now < 0

    def names(self) -> dict[str, Lazy]:
        """What components may ask for of all training images."""
        return {
            "train_labels": Lazy(lambda: self.now),
            "by_class": Lazy(lambda: self.by_class),
            "train_indices": Lazy(lambda: (~self.left_out).nonzero().flatten()),
        }

    def columns(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """What rows made of these images carry."""
        return {"labels": self.now[indices], "first_labels": self._first[indices]}

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

    def state(self) -> Any:
        """What a checkpoint has to hold of them."""
        return self.now

    def load(self, state: Any) -> None:
        self.set(state)


class TrainingRelevance:
    """Several labels an image: they never change, no image is left out, and there are no classes."""

    def __init__(self, relevance: Bool[Tensor, "n labels"]) -> None:
        self._kept = relevance.clone()
        self.now = relevance.clone()

    def start_epoch(self, epoch: int, images_seen: int, embed: Embed) -> None:
        """They never change."""

    def answer(self, built: Built, labels: Any) -> None:
        """Nobody has the event `relabel` here; a recipe with one is refused."""

    @property
    def left_out(self) -> Bool[Tensor, " n"]:
        return torch.zeros(len(self.now), dtype=torch.bool)

    def names(self) -> dict[str, Lazy]:
        return {
            "train_relevance": Lazy(lambda: self.now),
            "train_indices": Lazy(lambda: torch.arange(len(self.now))),
        }

    def columns(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        return {"relevance": self.now[indices]}

    def check(self) -> None:
        """Raise `ContractError` when somebody changed them in place."""
        if not torch.equal(self.now, self._kept):
            raise ContractError(
                "a component changed the training labels in place (train_relevance)",
                way_out="work on a copy: train_relevance = train_relevance.clone()",
            )

    def state(self) -> None:
        return None

    def load(self, state: None) -> None:
        """There is nothing to load."""


def training_labels(labels: Tensor, facts: dict[str, Any]) -> TrainingLabels | TrainingRelevance:
    """By their form: Int[n], the class of each image, or Bool[n labels], a row of yes and no for each."""
    return TrainingRelevance(labels) if labels.ndim == 2 else TrainingLabels(labels, facts["num_classes"])
