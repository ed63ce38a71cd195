"""What is near: cosine, Euclidean, Poincaré and Hamming, as similarities that grow with likeness.

Each entry of `DISTANCES` takes the gallery, which is its own to change, and the curvature, and returns a
function that writes the similarities of a block of queries into a given matrix. Adding one means one function
and one table line.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from dmlbench.errors import DataError, UsageError, nearest

# Rows that are changed at a time.
_ROWS = 2**14

#: (queries, out): write similarity [query, gallery] into `out`; both have the gallery's dtype.
Similarity = Callable[[Float[Tensor, "query dim"], Float[Tensor, "query gallery"]], None]


def unit(rows: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Rows of length 1; a zero row stays zero, so that its cosine with anything is 0 and never NaN.

    Divides by the largest entry first: the square of 1e30 or of 1e-30 is no float32.

    >>> unit(torch.tensor([[3e30, 4e30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return unit_(rows.clone())


def unit_(rows: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """`unit`, in place: a gallery may take half of the memory."""
    for some in rows.split(_ROWS):
        largest = torch.linalg.vector_norm(some, ord=math.inf, dim=1, keepdim=True)
        some.div_(largest.masked_fill_(largest == 0, 1))
        length = torch.linalg.vector_norm(some, dim=1, keepdim=True)
        some.div_(length.masked_fill_(length == 0, 1))
    return rows


def cosine(gallery: Float[Tensor, "gallery dim"], curvature: float = 1.0) -> Similarity:
    """The cosine of the angle between query and item."""
    items = unit_(gallery)

    def write(queries: Float[Tensor, "query dim"], out: Float[Tensor, "query gallery"]) -> None:
        torch.mm(unit(queries), items.T, out=out)

    return write


def euclidean(gallery: Float[Tensor, "gallery dim"], curvature: float = 1.0) -> Similarity:
    """Minus the Euclidean distance."""
    norms = gallery.square().sum(dim=1)

    def write(queries: Float[Tensor, "query dim"], out: Float[Tensor, "query gallery"]) -> None:
        _write_squares(queries, gallery, norms, out)
        out.sqrt_().neg_()

    return write


def poincare(gallery: Float[Tensor, "gallery dim"], curvature: float = 1.0) -> Similarity:
    """Minus the geodesic distance in the Poincaré ball of curvature -c, whose radius is 1/√c.

    d(u, v) = (1/√c) arcosh(1 + 2c|u-v|² / ((1-c|u|²)(1-c|v|²))), written as 2 arsinh of a root: arcosh loses
    the digits of small distances. A row on or outside the ball raises `DataError`.
    """
    norms = gallery.square().sum(dim=1)
    inside = inside_ball(norms, curvature)

    def write(queries: Float[Tensor, "query dim"], out: Float[Tensor, "query gallery"]) -> None:
        depth = inside_ball(queries.square().sum(dim=1), curvature)
        _write_squares(queries, gallery, norms, out)
        out.mul_(curvature / depth[:, None]).div_(inside).sqrt_().asinh_().mul_(-2 / math.sqrt(curvature))

    return write


def hamming(gallery: Float[Tensor, "gallery bit"], curvature: float = 1.0) -> Similarity:
    """Minus the number of bits that differ; rows are codes of -1 and +1, or of 0 and 1.

    Anything else raises `DataError`.
    """
    items = codes_(gallery)
    bits = gallery.shape[1]

    def write(queries: Float[Tensor, "query bit"], out: Float[Tensor, "query gallery"]) -> None:
        # Whole numbers below 2^24: exact.
        torch.mm(codes_(queries.clone()), items.T, out=out)
        out.sub_(bits).div_(2)

    return write


DISTANCES: dict[str, Callable[[Tensor, float], Similarity]] = {
    "cosine": cosine,
    "euclidean": euclidean,
    "poincare": poincare,
    "hamming": hamming,
}


def similarity_to(gallery: Float[Tensor, "gallery dim"], distance: str, curvature: float) -> Similarity:
    """The function that writes similarities to `gallery`.

    Raises `UsageError` for an unknown distance or a curvature that is not positive.
    """
    check_distance(distance, curvature)
    return DISTANCES[distance](gallery, curvature)


def check_distance(distance: str, curvature: float) -> None:
    """Raise `UsageError` unless `distance` is known and `curvature` positive and finite."""
    if distance not in DISTANCES:
        raise UsageError(
            f"no distance named {distance!r}",
            near=nearest(distance, DISTANCES),
            way_out=f"one of {', '.join(DISTANCES)}",
        )
    if not 0 < curvature < math.inf:
        raise UsageError(f"curvature {curvature}: the ball of curvature -c needs a positive, finite c")


def working_dtype(distance: str, *dtypes: torch.dtype) -> torch.dtype:
    """The arithmetic of a distance: float32 at least; float64 where |u|² + |v|² - 2uv cancels.

    >>> working_dtype("cosine", torch.float16)
    torch.float32
    """
    if distance == "hamming":
        return torch.float32  # whole numbers, exact
    dtype = torch.float32 if distance == "cosine" else torch.float64
    for other in dtypes:
        dtype = torch.promote_types(dtype, other)
    return dtype


def _write_squares(
    queries: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "gallery dim"],
    norms: Float[Tensor, " gallery"],
    out: Float[Tensor, "query gallery"],
) -> None:
    torch.addmm(norms, queries, gallery.T, alpha=-2, out=out)
    lengths = queries.square().sum(dim=1, keepdim=True)
    out.add_(lengths)
    # What cancels leaves its rounding: copies would be at distances of 0 and of 1e-8.
    out.masked_fill_(out <= (lengths + norms).mul_(8 * torch.finfo(out.dtype).eps), 0)


def codes_(rows: Float[Tensor, "row bit"]) -> Float[Tensor, "row bit"]:
    """Rows of -1 and +1, in place."""
    for some in rows.split(_ROWS):
        zeros = some == 0
        if not bool((zeros | (some.abs() == 1)).all()) or bool(zeros.any() and (some < 0).any()):
            raise DataError(
                "the Hamming distance is one of codes: rows of -1 and +1, or of 0 and 1",
                way_out="binarise first: `dmlbench score --bits 64`, or dmlbench.score.fit_itq",
            )
        some.masked_fill_(zeros, -1)
    return rows


def inside_ball(norms: Float[Tensor, " row"], curvature: float) -> Float[Tensor, " row"]:
    """1 - c|v|², positive inside the ball."""
    depth = 1 - curvature * norms
    if bool((depth <= 0).any()):
        raise DataError(
            f"{int((depth <= 0).sum())} embeddings lie on or outside the ball of radius {curvature**-0.5:g}",
            way_out="score the ball's points (readout 'ball') with the curvature they were made with",
        )
    return depth
