"""Relational knowledge distillation: a student keeps the distances and angles that its teacher sees."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_SMALLEST = 1e-6
"""Below this distance two rows have no direction to each other."""
_MIDDLES = 16
"""Middle rows in a block."""


def rkd_distance(
    embeddings: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows teacher_dim"]
) -> Float[Tensor, ""] | None:
    """Huber cost of d_S / mu_S against d_T / mu_T, mu the mean distance of two rows (Park et al., eq. 5-7).

    Divisor: all ordered pairs, the diagonal too, as in the authors' code; their weights go with it. Rows that
    coincide have the distance 0 and no gradient. The largest tensor has rows x rows elements. None for a
    single row.
    """
    if len(embeddings) < 2:
        return None
    return functional.smooth_l1_loss(_relative_distances(embeddings), _relative_distances(teacher.detach()))


def rkd_angle(
    embeddings: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows teacher_dim"]
) -> Float[Tensor, ""] | None:
    """Huber cost of <e_ij, e_kj> against the teacher's, e_ij from row j to row i (Park et al., eq. 8-10).

    Divisor: all ordered triples, degenerate ones too, as in the authors' code; their weights go with it.
    Triples in which two of the student's rows that make a side lie closer than 1e-6 cost nothing: the
    gradient of a direction grows without bound there. Angles are computed for 16 middle rows at a time, and
    once more in the backward pass, so that rows^3 of them are never held or kept: the largest tensor has
    16 x rows x (rows or dim) elements. None for a single row.
    """
    rows = len(embeddings)
    if rows < 2:
        return None
    targets = teacher.detach()
    parts = [
        checkpoint(_angle_cost, embeddings, targets, first, use_reentrant=False, preserve_rng_state=False)
        for first in range(0, rows, _MIDDLES)
    ]
    return torch.stack(parts).sum() / rows**3


def _relative_distances(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows rows"]:
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (len(rows) * (len(rows) - 1))
    return distances / mean.clamp(min=torch.finfo(mean.dtype).tiny)


def _angle_cost(student: Tensor, teacher: Tensor, first: int) -> Float[Tensor, ""]:
    """The sum over triples whose middle row is one of the block that starts at `first`."""
    ours, meet = _directions(student, first)
    theirs, _ = _directions(teacher, first)
    theirs = theirs.masked_fill(meet, 0.0)
    return functional.smooth_l1_loss(ours @ ours.mT, theirs @ theirs.mT, reduction="sum")


def _directions(rows: Tensor, first: int) -> tuple[Float[Tensor, "middle rows dim"], Tensor]:
    """Unit vectors from each middle row to every row, 0 where the two meet; and where they do."""
    steps = rows[None] - rows[first : first + _MIDDLES, None]
    lengths = steps.norm(dim=2, keepdim=True)
    meet = lengths < _SMALLEST
    return (steps / lengths.masked_fill(meet, 1.0)).masked_fill(meet, 0.0), meet
