"""The rows of past steps that a term with `refs = "memory"` compares its anchors with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dmlbench.train.rows import Rows

if TYPE_CHECKING:
    from dmlbench.train.recipe import Recipe
    from dmlbench.train.sight import Sight


class Memory(nn.Module):
    """A ring of the last `size` rows: detached embeddings with their labels and training indices.

    Labels are classes, or with `num_labels` a row of yes and no for each.
    """

    def __init__(self, size: int, dim: int, *, num_labels: int = 0) -> None:
        super().__init__()
        none = torch.zeros(size, num_labels, dtype=torch.bool) if num_labels else torch.full((size,), -1)
        self.register_buffer("embeddings", torch.zeros(size, dim))
        self.register_buffer("labels", none)
        self.register_buffer("indices", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def push(
        self,
        embeddings: Float[Tensor, "rows dim"],
        labels: Int[Tensor, " rows"] | Bool[Tensor, "rows labels"],
        indices: Int[Tensor, " rows"],
    ) -> None:
        """Remember these rows; the oldest ones give way."""
        size = len(self.labels)
        keep = slice(max(0, len(labels) - size), None)
        count = len(labels[keep])
        places = (self.pushed + torch.arange(count, device=labels.device)) % size
        self.embeddings[places] = embeddings[keep].detach().float()
        self.labels[places] = labels[keep]
        self.indices[places] = indices[keep]
        self.pushed += count

    def rows(self) -> tuple[Float[Tensor, "n dim"], Tensor, Int[Tensor, " n"]]:
        """What is remembered: embeddings, labels, training indices."""
        filled = min(int(self.pushed), len(self.labels))
        return self.embeddings[:filled].clone(), self.labels[:filled].clone(), self.indices[:filled].clone()


def memories(recipe: Recipe) -> nn.ModuleDict:
    """An empty memory for each term that has one, as wide as the embeddings of the term's head."""
    return nn.ModuleDict(
        {
            name: Memory(
                term.memory,
                recipe.head_widths[recipe.sights[name].head],
                num_labels=recipe.facts.get("num_labels", 0),
            )
            for name, term in recipe.method.terms.items()
            if term.memory
        }
    )


def remember(memories: nn.ModuleDict, sights: Mapping[str, Sight], rows: Mapping[str, Rows]) -> None:
    """Push this step's real rows into each term's memory, in the term's view."""
    for name, memory in memories.items():
        sight = sights[name]
        real = rows[sight.head].select("real")
        labels = real.columns["labels" if "labels" in real.columns else "relevance"]
        memory.push(real.views[sight.view], labels, real.columns["indices"])
