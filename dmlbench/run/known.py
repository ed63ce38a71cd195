"""The training images as a protocol scores against them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.data.store import Part


@dataclass(frozen=True, eq=False)
class Known:
    """Training images with the labels that the scorer may know, and their embeddings, row-aligned."""

    part: Part
    embeddings: Float[Tensor, "item dim"]
    found: Int[Tensor, " item"] | None = None
    """Finer labels, where the method finds such while it trains; -1 for images that it leaves out."""
