"""Triplet loss."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dmlbench.api import Triplets


def triplet(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    triplets: Triplets,
    *,
    margin: float = 0.2,
) -> Float[Tensor, ""] | None:
    """[|a - p|^2 - |a - n|^2 + margin]_+ (Schroff et al. 2015, eq. 3). Divisor: the mined triplets.

    None when the miner chose nothing.
    """
    if len(triplets) == 0:
        return None
    a, p, n = triplets.indices
    near = (anchors[a] - refs[p]).square().sum(dim=1)
    far = (anchors[a] - refs[n]).square().sum(dim=1)
    return functional.relu(near - far + margin).mean()
