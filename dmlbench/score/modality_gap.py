"""How much farther apart the items of a class are across domains than within one."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.distance import unit

_NOTHING = 1e-9
"""A mean distance that is rounding alone."""


def modality_gap(
    queries: Float[Tensor, "query dim"],
    query_labels: Int[Tensor, " query"],
    gallery: Float[Tensor, "gallery dim"],
    gallery_labels: Int[Tensor, " gallery"],
) -> dict[str, float]:
    """`distance_across`, `distance_within`, and `modality_gap`, the first over the second.

    Distances are 1 - cosine, whatever a method ranks by, averaged over a class's pairs and then over classes:
    across, of a query and a gallery item; within, of two queries and of two gallery items, the two domains
    averaged where both have such pairs. Classes count that have pairs of both kinds. A gap of 1 is none.

    Without such a class the answer is empty; of a collapsed model there is no ratio. O(items x dim): the sum
    over a class's pairs follows from the sum of its rows.

    >>> east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    >>> modality_gap(east, torch.tensor([4]), north, torch.tensor([4, 4]))["distance_across"]
    0.7
    """
    classes = torch.cat([query_labels, gallery_labels]).unique()
    asks, asked = _Sums(queries, query_labels, classes), _Sums(gallery, gallery_labels, classes)
    pairs = asked.counts * asks.counts
    across = 1 - (asked.rows * asks.rows).sum(dim=1) / pairs
    # NaN where a domain has no pair of the class, and then the other one's counts alone.
    within = torch.stack([asked.within(), asks.within()]).nanmean(dim=0)
    counted = (pairs > 0) & ~within.isnan()
    if not bool(counted.any()):
        return {}
    found = {
        "distance_across": float(across[counted].mean()),
        "distance_within": float(within[counted].mean()),
    }
    if found["distance_within"] > _NOTHING:
        found["modality_gap"] = found["distance_across"] / found["distance_within"]
    return {name: round(value, 12) for name, value in found.items()}


class _Sums:
    """The sum of each class's unit rows, and how many they are."""

    def __init__(
        self, embeddings: Float[Tensor, "item dim"], labels: Int[Tensor, " item"], classes: Tensor
    ) -> None:
        index = torch.searchsorted(classes, labels.contiguous())
        rows = unit(embeddings.double())
        self.rows = torch.zeros(len(classes), rows.shape[1], dtype=rows.dtype).index_add_(0, index, rows)
        self.counts = torch.bincount(index, minlength=len(classes)).double()

    def within(self) -> Float[Tensor, " class"]:
        """The mean distance of two items of the class; NaN for a class with fewer than two."""
        pairs = self.counts * (self.counts - 1)
        return 1 - (self.rows.square().sum(dim=1) - self.counts) / torch.where(pairs > 0, pairs, torch.nan)
