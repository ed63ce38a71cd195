"""Triplet loss without a margin."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from dmlbench.api import Triplets

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical rows."""


def triplet_soft_margin(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    triplets: Triplets,
    *,
    compared_by: Literal["distance", "similarity"] = "distance",
    temperature: float = 1.0,
) -> Float[Tensor, ""] | None:
    """log(1 + exp(gap / temperature)), a hinge that never closes. Divisor: the mined triplets.

    `distance`: gap = |a - p| - |a - n| (Hermans, Beyer, Leibe 2017). `similarity`: gap = a.n - a.p, which
    makes it -log of the positive's share of a softmax over the two (Xuan, Stylianou, Pless 2020).
    None when the miner chose nothing.
    """
    if len(triplets) == 0:
        return None
    a, p, n = triplets.indices
    anchor = anchors.index_select(0, a)

    def closeness(places: Int[Tensor, " triplets"]) -> Float[Tensor, " triplets"]:
        other = refs.index_select(0, places)
        if compared_by == "similarity":
            return (anchor * other).sum(dim=1)
        return -(anchor - other).square().sum(dim=1).clamp(min=_SMALLEST_SQUARE).sqrt()

    return functional.softplus((closeness(n) - closeness(p)) / temperature).mean()
