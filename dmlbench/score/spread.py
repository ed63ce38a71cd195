"""How embeddings spread: within classes against between them, and over the dimensions.

The embedding statistics of Roth et al. (2020), "Revisiting Training Strategies and Generalization Performance
in Deep Metric Learning". What has no finite value raises `DataError`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError
from dmlbench.score import distance

# Below these, cosine distances and shares of the largest singular value are rounding of float32 embeddings.
_NO_DISTANCE = 1e-12
_NO_VALUE = torch.finfo(torch.float32).eps

# Rows made float64 at a time.
_BLOCK = 4096


def intra_inter_ratio(unit: Float[Tensor, "item dim"], labels: Int[Tensor, " item"]) -> float:
    """Mean cosine distance within classes over that between class means; small is tight and far apart.

    Within: the mean over all pairs of a class, then over the classes of two items or more. Between: the mean
    over all pairs of classes, lone items too, of the distance of their normalised means. The sum s of m unit
    vectors knows the mean cosine of their pairs, (|s|² - m) / (m (m - 1)), so that no pair is looked at.

    Raises `DataError` where there is one class, no class of two items, or no distance between the means.

    >>> square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> round(intra_inter_ratio(square, torch.tensor([0, 0, 1, 1])), 6)
    0.5
    """
    classes, index, counts = labels.cpu().unique(return_inverse=True, return_counts=True)
    several = counts > 1
    if len(classes) < 2:
        raise DataError("there is one class, and no distance between classes", place="labels")
    if not bool(several.any()):
        raise DataError("each item is alone in its class: no distance within classes", place="labels")

    sums = torch.zeros(len(classes), unit.shape[1], dtype=torch.float64)
    squares = torch.zeros(len(classes), dtype=torch.float64)
    for rows, of_class in zip(unit.detach().split(_BLOCK), index.split(_BLOCK), strict=True):
        # Once more: lengths rounded to float32 would pass for distances.
        rows = distance.unit(rows.cpu().double())
        sums.index_add_(0, of_class, rows)
        squares.index_add_(0, of_class, rows.square().sum(dim=1))

    within = _mean_distance(sums[several], squares[several], counts[several]).mean()
    means = distance.unit(sums)
    between = _mean_distance(means.sum(dim=0), means.square().sum(), torch.tensor(len(means)))
    if between < _NO_DISTANCE:
        raise DataError(
            f"the means of all {len(means)} classes coincide: the embeddings have collapsed",
            place="embeddings",
            way_out="a model that gives every item one embedding has no ratio; look at the loss and the rate",
        )
    return float(within.clamp(min=0) / between)


def spectral_decay(embeddings: Float[Tensor, "item dim"], skip: int = 1) -> float:
    """KL(uniform || p), in nats: p are the singular values, less the `skip` largest, over their sum.

    0 where all directions are used alike. The embeddings are taken as they are, not centred: the largest
    singular value is mostly their mean.
    An unused direction would make it infinite: a singular value counts for at least 1.2e-7 of the largest of
    all, float32's resolution, so that more unused directions give a larger but finite number.

    Raises `DataError` where fewer than two singular values are left, or none of those left is above that.

    >>> spectral_decay(torch.eye(3), skip=0)
    0.0
    """
    left = min(embeddings.shape) - skip
    if skip < 0 or left < 2:
        raise DataError(
            f"of {min(embeddings.shape)} singular values, skip={skip} leaves no two", place="embeddings"
        )
    # The triangular factor has the same singular values; a Gram matrix would square them, and lose the small.
    factor = torch.empty(0, embeddings.shape[1], dtype=torch.float64)
    for rows in embeddings.detach().split(_BLOCK):
        factor = torch.linalg.qr(torch.cat([factor, rows.cpu().double()]), mode="r").R
    values = torch.linalg.svdvals(factor)
    least = _NO_VALUE * values[0]
    if values[skip] <= least:
        raise DataError(
            f"the embeddings span no more than {skip} dimensions: past them there is no spectrum",
            place="embeddings",
            way_out="a model that gives every item one embedding has no decay; look at the loss and the rate",
        )
    kept = values[skip:].clamp(min=float(least))
    return max(0.0, -float((left * kept / kept.sum()).log().mean()))


def _mean_distance(
    sums: Float[Tensor, "*set dim"], squares: Float[Tensor, "*set"], counts: Int[Tensor, "*set"]
) -> Float[Tensor, "*set"]:
    """Mean cosine distance of a set's pairs from the sum of its unit vectors and of their squares."""
    return 1 - (sums.square().sum(dim=-1) - squares) / (counts * (counts - 1))
