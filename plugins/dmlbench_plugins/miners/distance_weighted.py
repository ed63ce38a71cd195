"""Distance-weighted sampling of negatives."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench.api import Triplets


def distance_weighted(
    anchors: Float[Tensor, "anchors dim"],
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    generator: torch.Generator,
    *,
    cutoff: float = 0.5,
    farthest: float = 1.4,
) -> Triplets:
    """Each positive pair once, its negative drawn so that all distances are about equally likely.

    Wu et al. 2017, section 4: with odds 1 / q(d), where q is the density of the distance between uniform
    points of the sphere, the same for all d below `cutoff` and none from `farthest` on (as the authors' code;
    beyond, 1 / q rises again). Draws are independent, so one negative may come twice. An anchor without a
    negative in reach has no triplet; the authors' code falls back to all rows, its own class included.
    """
    log_odds = log_inverse_density(similarity, anchors.shape[1], cutoff)
    in_reach = negatives & ~(similarity <= 1 - farthest**2 / 2)
    # Each row by itself: between rows odds differ by more than single precision has.
    odds = log_odds.masked_fill(~in_reach, -torch.inf).softmax(dim=1)

    anchor, positive = (positives & in_reach.any(dim=1, keepdim=True)).nonzero(as_tuple=True)
    if len(anchor) == 0:
        return Triplets(torch.stack([anchor, anchor, anchor]))
    pairs = torch.bincount(anchor, minlength=len(anchors))
    turn = torch.arange(len(anchor), device=anchor.device) - (pairs.cumsum(0) - pairs)[anchor]
    uniform = torch.rand(len(anchors), int(pairs.max()), generator=generator).to(odds.device)
    # The first place whose sum exceeds the draw: never one of odds 0.
    sums = odds.cumsum(dim=1)
    sums = sums / sums[:, -1:]
    place = torch.searchsorted(sums, uniform.to(sums.dtype), right=True).clamp(max=sums.shape[1] - 1)
    return Triplets(torch.stack([anchor, positive, place[anchor, turn]]))


def log_inverse_density(
    similarity: Float[Tensor, "anchors refs"], dim: int, cutoff: float
) -> Float[Tensor, "anchors refs"]:
    """-log q(d) up to a constant, q(d) ~ d^(dim - 2) (1 - d^2 / 4)^((dim - 3) / 2), d at least `cutoff`."""
    # 1 - d^2 / 4 is (1 + similarity) / 2, without the digits that a difference loses.
    squared = (2 - 2 * similarity).clamp(min=cutoff**2)
    rest = ((1 + similarity) / 2).clamp(min=1e-6, max=1 - cutoff**2 / 4)
    return -(dim - 2) / 2 * squared.log() - (dim - 3) / 2 * rest.log()
