"""Triplet loss on distances."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from dmlbench.api import Triplets

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical rows."""


def triplet_euclidean(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    triplets: Triplets,
    *,
    margin: float = 0.2,
) -> Float[Tensor, ""] | None:
    """[|a - p| - |a - n| + margin]_+, without the squares of `triplet`. Divisor: the mined triplets.

    Sumbul, Ravanbakhsh, Demir 2022, arXiv 2105.03647. None when the miner chose nothing.
    """
    if len(triplets) == 0:
        return None
    a, p, n = triplets.indices

    def distance(places: Int[Tensor, " triplets"]) -> Float[Tensor, " triplets"]:
        return (anchors[a] - refs[places]).square().sum(dim=1).clamp(min=_SMALLEST_SQUARE).sqrt()

    return functional.relu(distance(p) - distance(n) + margin).mean()
