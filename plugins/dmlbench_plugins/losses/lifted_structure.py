"""Lifted structure loss, and its generalisation to all positives of an anchor at once."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical rows."""


def lifted_structure(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    margin: float = 1.0,
) -> Float[Tensor, ""] | None:
    """Each positive pair against all negatives of both its ends (Song et al. 2016, eq. 4):

        J_ij = d_ij + log(sum over negatives k of i of exp(margin - d_ik) + the same over those of j)
        loss = sum of [J_ij]_+^2 / 2

    Divisor: the positive pairs; None when there are none. A pair without any negative counts 0. The paper's
    embeddings are raw, d Euclidean: the term needs `view = "raw"`. Of unit vectors d ends at 2, and the hinge
    of margin 1 hardly ever closes. Negatives of a ref are those anchors that are.
    """
    anchor, ref = positives.nonzero(as_tuple=True)
    if len(anchor) == 0:
        return None
    distance = _euclidean(anchors, refs)
    repulsion = margin - distance
    ends = log_sum_exp(repulsion, negatives)[anchor], log_sum_exp(repulsion, negatives, dim=0)[ref]
    tension = torch.logaddexp(*ends) + distance[anchor, ref]
    return functional.relu(tension).square().mean() / 2


def lifted_structure_generalised(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    margin: float = 1.0,
) -> Float[Tensor, ""] | None:
    """[log sum over positives p of exp(d_ip) + log sum over negatives n of exp(margin - d_in)]_+ of anchor i.

    Hermans, Beyer, Leibe 2017, eq. 8. Another loss than the paper's that it generalises: linear, by anchor.
    Divisor: the anchors with a positive and a negative; None when there are none. Raw rows, as above.
    """
    counted = positives.any(dim=1) & negatives.any(dim=1)
    if not counted.any():
        return None
    distance = _euclidean(anchors, refs)
    tension = log_sum_exp(margin - distance, negatives) + log_sum_exp(distance, positives)
    return functional.relu(tension)[counted].mean()


def _euclidean(
    anchors: Float[Tensor, "anchors dim"], refs: Float[Tensor, "refs dim"]
) -> Float[Tensor, "anchors refs"]:
    """By products, with the origin in the middle of the refs: raw rows share an offset that costs digits."""
    middle = refs.detach().mean(dim=0)
    anchors, refs = anchors - middle, refs - middle
    squared = anchors.square().sum(dim=1)[:, None] + refs.square().sum(dim=1) - 2 * anchors @ refs.T
    return squared.clamp(min=_SMALLEST_SQUARE).sqrt()
