"""Labels that core makes by clustering, anew as the network learns: in place of the true ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from dmlbench.train.labels import Embed, TrainingLabels

Cluster = Callable[[Float[Tensor, "n dim"], int], Int[Tensor, " n"]]
"""Unit embeddings and the number of the clustering to the cluster of each image, 0 to K - 1."""


class PseudoLabels(TrainingLabels):
    """The clusters of the training images, made anew at every `every`-th epoch from unit embeddings.

    `first` are those that training starts with. Clusters of fewer than `least` images, those that a sampler
    draws of one class, do not train. `history` holds each clustering as it was made, images seen and the
    cluster of every image: for the scorer, who knows the true labels.
    """

    def __init__(
        self, first: Int[Tensor, " n"], num_classes: int, cluster: Cluster, *, every: int, least: int
    ) -> None:
        super().__init__(first, num_classes)
        self.set(without_small(first, least))
        self._cluster = cluster
        self._every = every
        self._least = least
        self.history: list[tuple[int, Int[Tensor, " n"]]] = [(0, first.clone())]

    def start_epoch(self, epoch: int, images_seen: int, embed: Embed) -> None:
        """Cluster anew, where this is an epoch in which labels change."""
        if epoch == 0 or epoch % self._every:
            return
        unit = functional.normalize(embed(torch.arange(len(self.now))).cpu(), dim=1)
        clusters = aligned(self._cluster(unit, len(self.history)), self.history[-1][1])
        self.history.append((images_seen, clusters))
        self.set(without_small(clusters, self._least))

    def state(self) -> dict[str, Any]:
        return {"now": self.now, "history": list(self.history)}

    def load(self, state: dict[str, Any]) -> None:
        self.set(state["now"])
        self.history = list(state["history"])


def aligned(new: Int[Tensor, " n"], old: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """`new` clusters under the numbers of those `old` ones that they share most images with.

    k-means numbers clusters as it happens to find them, and what is learnt for each, e.g. a proxy, would be
    another one's after every clustering. Pairs of clusters are matched from the largest overlap down, each
    once, of equal ones the lowest numbers first; what is left over takes the numbers that are free.

    >>> aligned(torch.tensor([0, 0, 1, 2]), torch.tensor([5, 5, 2, 2]))
    tensor([5, 5, 2, 0])
    """
    most = 1 + int(max(new.max(), old.max()))
    cells, counts = (new * most + old).unique(return_counts=True)
    taken = torch.full((most,), -1, dtype=torch.int64)
    free = [True] * most
    for cell in cells[counts.argsort(descending=True, stable=True)].tolist():
        ours, theirs = divmod(cell, most)
        if taken[ours] < 0 and free[theirs]:
            taken[ours], free[theirs] = theirs, False
    left = iter([number for number in range(most) if free[number]])
    for ours in new.unique().tolist():
        if taken[ours] < 0:
            taken[ours] = next(left)
    return taken[new]


def without_small(clusters: Int[Tensor, " n"], least: int) -> Int[Tensor, " n"]:
    """-1 in place of every cluster of fewer than `least` images.

    >>> without_small(torch.tensor([3, 3, 1]), 2)
    tensor([ 3,  3, -1])
    """
    return torch.where(torch.bincount(clusters)[clusters] < least, -1, clusters)
