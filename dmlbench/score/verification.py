"""`verify`: embeddings and pairs in, verification metrics out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError, nearest
from dmlbench.score.distance import check_distance, codes_, inside_ball, unit
from dmlbench.score.inputs import as_embeddings, as_labels
from dmlbench.score.roc import METRIC_VERSIONS, FoldAccuracy, eer, fold_accuracy, roc_auc, tar_at_far

#: (left, right): the similarity of each pair of rows.
PairSimilarity = Callable[[Int[Tensor, " pair"], Int[Tensor, " pair"]], Float[Tensor, " pair"]]

# Numbers gathered at a time, for each side of the pairs.
_CHUNK_ELEMENTS = 2**20


@dataclass(frozen=True)
class Verification:
    """Metrics over the pairs, in float64, and how many pairs they rest on."""

    metrics: dict[str, float]
    genuine: int
    impostors: int
    coarse: tuple[str, ...]
    """Metrics at a false accept rate that these impostors are too few to measure."""
    folds: FoldAccuracy | None
    """Behind `lfw_accuracy`, where folds were given."""
    metric_versions: dict[str, int]
    similarities: Float[Tensor, " pair"] = field(repr=False, compare=False)
    """Of each pair, in float64: what the decisions are made on."""


def verify(
    embeddings: Float[Tensor, "item dim"] | np.ndarray,
    pairs: Int[Tensor, "pair 2"] | np.ndarray,
    genuine: Bool[Tensor, " pair"] | np.ndarray,
    folds: Int[Tensor, " pair"] | np.ndarray | None = None,
    fars: Sequence[float] = (1e-1, 1e-2, 1e-3),
    *,
    distance: str = "cosine",
    curvature: float = 1.0,
) -> Verification:
    """Score embeddings by telling pairs of one class (`genuine`) from pairs of two.

    `pairs` holds rows of `embeddings`; `folds`, a fold id for each pair, adds `lfw_accuracy`.

    Raises `DataError` for embeddings that are not finite, rows that are not there, lengths that differ, and
    when all pairs are of one kind; `UsageError` for an unknown distance or a rate outside 0 to 1.

    >>> points = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> verify(points, torch.tensor([[0, 1], [1, 2]]), torch.tensor([True, False]), fars=[0.5]).metrics
    {'roc_auc': 1.0, 'eer': 0.0, 'tar_at_far_5e-1': 1.0}
    """
    scores = pair_similarities(embeddings, pairs, distance, curvature)
    kinds = _for_each_pair(genuine, scores, "genuine")
    if bool(((kinds != 0) & (kinds != 1)).any()):
        raise DataError("a pair is genuine (1) or not (0)", place="genuine", way_out="genuine == 1")
    same = kinds.bool()
    metrics = {"roc_auc": roc_auc(scores, same), "eer": eer(scores, same)}
    versions = {name: METRIC_VERSIONS[name] for name in metrics}
    by_fold = None
    if folds is not None:
        by_fold = fold_accuracy(scores, same, _for_each_pair(folds, scores, "folds"))
        metrics["lfw_accuracy"] = by_fold.mean
        versions["lfw_accuracy"] = METRIC_VERSIONS["lfw_accuracy"]
    coarse = []
    for far in fars:
        found, name = tar_at_far(scores, same, far), tar_name(far)
        metrics[name] = found.tar
        versions[name] = METRIC_VERSIONS["tar_at_far_F"]
        coarse += [name] * found.coarse
    counts = int(same.sum()), int((~same).sum())
    return Verification(metrics, *counts, tuple(coarse), by_fold, versions, scores)


def tar_name(far: float) -> str:
    """The name in files of TAR at that false accept rate.

    >>> tar_name(0.001), tar_name(0.025)
    ('tar_at_far_1e-3', 'tar_at_far_2.5e-2')
    """
    return f"tar_at_far_{Decimal(str(float(far))):e}"


def fars_of(names: Iterable[str]) -> list[float]:
    """The false accept rates that metrics of those names speak of; `UsageError` for one that is of no pairs.

    >>> fars_of(["roc_auc", "tar_at_far_1e-2"])
    [0.01]
    """
    fars = []
    for name in names:
        stem, _, rate = name.rpartition("_")
        if stem == "tar_at_far":
            try:
                fars.append(float(Decimal(rate)))
            except InvalidOperation:
                fars.append(math.nan)
            if 0 < fars[-1] < 1 and tar_name(fars[-1]) == name:
                continue
        elif name in METRIC_VERSIONS and name != "tar_at_far_F":
            continue
        raise UsageError(
            f"no metric of pairs named {name!r}",
            near=nearest(name, METRIC_VERSIONS),
            way_out=f"one of {', '.join(METRIC_VERSIONS)}, F as in 1e-3",
        )
    return fars


def pair_similarities(
    embeddings: Float[Tensor, "item dim"] | np.ndarray,
    pairs: Int[Tensor, "pair 2"] | np.ndarray,
    distance: str = "cosine",
    curvature: float = 1.0,
) -> Float[Tensor, " pair"]:
    """The similarity of each pair of rows, in float64: those of the pairs alone, some at a time.

    >>> pair_similarities(torch.tensor([[0.0], [3.0], [7.0]]), torch.tensor([[0, 1], [2, 1]]), "euclidean")
    tensor([-3., -4.], dtype=torch.float64)
    """
    check_distance(distance, curvature)
    if distance not in PAIRWISE:
        raise UsageError(f"no pairwise distance named {distance!r}", way_out=f"one of {', '.join(PAIRWISE)}")
    rows = as_embeddings(embeddings, "embeddings").double()
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0:
        raise DataError(f"expected pairs of rows, got shape {tuple(pairs.shape)}", place="pairs")
    index = as_labels(pairs.reshape(-1), 2 * len(pairs), "pairs").reshape(-1, 2).to(rows.device)
    strange = ((index < 0) | (index >= len(rows))).any(dim=1)
    if bool(strange.any()):
        first = int(strange.nonzero()[0])
        raise DataError(f"pair {first} is {index[first].tolist()}, of {len(rows)} embeddings", place="pairs")
    similarity = PAIRWISE[distance](rows, curvature)
    chunks = index.split(max(1, _CHUNK_ELEMENTS // rows.shape[1]))
    return torch.cat([similarity(*chunk.T) for chunk in chunks])


def _cosine(rows: Float[Tensor, "item dim"], curvature: float) -> PairSimilarity:
    rows = unit(rows)
    return lambda left, right: (rows[left] * rows[right]).sum(dim=1)


def _euclidean(rows: Float[Tensor, "item dim"], curvature: float) -> PairSimilarity:
    return lambda left, right: -torch.linalg.vector_norm(rows[left] - rows[right], dim=1)


def _poincare(rows: Float[Tensor, "item dim"], curvature: float) -> PairSimilarity:
    depth = inside_ball(rows.square().sum(dim=1), curvature)

    def similarity(left: Int[Tensor, " pair"], right: Int[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        squares = (rows[left] - rows[right]).square().sum(dim=1)
        root = (curvature * squares / (depth[left] * depth[right])).sqrt()
        return root.asinh() * (-2 / math.sqrt(curvature))

    return similarity


def _hamming(rows: Float[Tensor, "item bit"], curvature: float) -> PairSimilarity:
    codes = codes_(rows.clone())
    return lambda left, right: -(codes[left] != codes[right]).sum(dim=1).double()


#: The distances of `dmlbench.score.distance`, for pairs.
PAIRWISE: dict[str, Callable[[Tensor, float], PairSimilarity]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
    "poincare": _poincare,
    "hamming": _hamming,
}


def _for_each_pair(
    values: Tensor | np.ndarray, scores: Float[Tensor, " pair"], name: str
) -> Int[Tensor, " pair"]:
    if tuple(values.shape) != tuple(scores.shape):
        raise DataError(
            f"expected one value for each of {len(scores)} pairs, got shape {tuple(values.shape)}", place=name
        )
    return as_labels(values, len(scores), name).to(scores.device)
