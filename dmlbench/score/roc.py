"""Genuine pairs told from impostors by one threshold: the ROC curve and what is read off it.

A pair is accepted when its score (higher means more alike) is at least the threshold. FAR is the share of
impostors that are accepted, TAR that of genuine pairs. Pairs of equal score are accepted together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError

#: `_at_far_F` stands for a false accept rate such as 1e-3.
METRIC_VERSIONS: dict[str, int] = {"roc_auc": 1, "eer": 1, "tar_at_far_F": 1, "lfw_accuracy": 1}


class Roc(NamedTuple):
    """Acceptance rates in float64; the first point, at infinity, accepts nothing, the last everything."""

    thresholds: Float[Tensor, " point"]
    """Descending: infinity, then each distinct score."""
    far: Float[Tensor, " point"]
    tar: Float[Tensor, " point"]


class TarAtFar(NamedTuple):
    """The true accept rate at a bounded false accept rate, and what it rests on."""

    tar: float
    threshold: float
    """The lowest one that keeps the bound."""
    impostors: int
    coarse: bool
    """Fewer than 1/far impostors: the bound allows not one of them."""


class FoldAccuracy(NamedTuple):
    """Accuracy on each fold, at the threshold that is best on the others."""

    mean: float
    standard_error: float
    thresholds: Float[Tensor, " fold"]
    accuracies: Float[Tensor, " fold"]


def roc(scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"]) -> Roc:
    """The curve through every threshold that tells pairs apart, no point left out.

    >>> roc(torch.tensor([0.9, 0.5, 0.5]), torch.tensor([True, True, False])).tar
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    thresholds, accepted = _accepted(scores, genuine)
    totals = accepted[-1]
    for kind, total in zip(("impostor", "genuine"), totals.tolist(), strict=True):
        if total == 0:
            raise DataError(f"none of the {len(scores)} pairs is {kind}: there is no curve", place="genuine")
    far, tar = (accepted.double() / totals).T
    return Roc(thresholds, far, tar)


def roc_auc(scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"]) -> float:
    """The probability that a genuine pair scores above an impostor, a tie counting one half.

    >>> roc_auc(torch.tensor([0.9, 0.5, 0.5]), torch.tensor([True, True, False]))
    0.75
    """
    _, far, tar = roc(scores, genuine)
    return float(torch.trapezoid(tar, far))


def eer(scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"]) -> float:
    """The rate at which FAR = 1 - TAR, on the straight line between the two points around it.

    >>> eer(torch.tensor([0.9, 0.5, 0.5, 0.1]), torch.tensor([True, True, False, False]))
    0.25
    """
    _, far, tar = roc(scores, genuine)
    gap = far + tar - 1  # from -1 to 1, and rising at every point
    after = int((gap < 0).sum())
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(far[after - 1] + share * (far[after] - far[after - 1]))


def tar_at_far(scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"], far: float) -> TarAtFar:
    """The largest TAR of a threshold whose FAR on these pairs is at most `far`: no interpolation.

    >>> tar_at_far(torch.tensor([0.75, 0.5, 0.5]), torch.tensor([True, True, False]), far=0.1)
    TarAtFar(tar=0.5, threshold=0.75, impostors=1, coarse=True)
    """
    if not 0 < far < 1:
        raise UsageError(f"far={far}: a false accept rate lies between 0 and 1", way_out="0.001")
    curve = roc(scores, genuine)
    last = int((curve.far <= far).sum()) - 1
    impostors = int((~genuine).sum())
    # As a quotient, like the rates: 49 * (1 / 49) is below 1.
    coarse = 1 / impostors > far
    return TarAtFar(float(curve.tar[last]), float(curve.thresholds[last]), impostors, coarse)


def best_threshold(scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"]) -> float:
    """The score that, as threshold, decides most pairs rightly; of several the smallest.

    >>> best_threshold(torch.tensor([0.75, 0.5, 0.25]), torch.tensor([True, False, False]))
    0.75
    """
    thresholds, accepted = _accepted(scores, genuine)
    impostors, genuines = accepted[1:].T
    right = genuines - impostors
    return float(thresholds[1:][right == right.max()][-1])


def fold_accuracy(
    scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"], folds: Int[Tensor, " pair"]
) -> FoldAccuracy:
    """Each fold's accuracy at the threshold that is best on the others: view 2 of LFW (Huang et al., 2007).

    `folds` holds fold ids, any integers; thresholds and accuracies are in their ascending order. The standard
    error is that of the mean over folds, std(ddof=1)/√F.

    >>> scores, genuine = torch.tensor([0.75, 0.25, 0.5, 0.125]), torch.tensor([True, False, True, False])
    >>> fold_accuracy(scores, genuine, torch.tensor([1, 1, 2, 2]))[:3]
    (0.75, 0.25, tensor([0.5000, 0.7500], dtype=torch.float64))
    """
    _check(scores, genuine)
    ids = torch.unique(folds)
    if folds.shape != scores.shape or len(ids) < 2:
        raise DataError(
            f"{len(scores)} pairs, {len(folds)} fold ids, {len(ids)} folds: expected a fold for each pair, "
            "and two or more folds",
            place="folds",
        )
    thresholds = torch.tensor(
        [best_threshold(scores[folds != fold], genuine[folds != fold]) for fold in ids], dtype=torch.float64
    )
    index = torch.searchsorted(ids, folds)
    right = (scores >= thresholds.to(scores.device)[index]) == genuine
    accuracies = torch.stack([right[index == fold].double().mean() for fold in range(len(ids))]).cpu()
    error = float(accuracies.std(correction=1)) / math.sqrt(len(ids))
    return FoldAccuracy(float(accuracies.mean()), error, thresholds, accuracies)


def _accepted(
    scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"]
) -> tuple[Float[Tensor, " point"], Int[Tensor, "point 2"]]:
    """The thresholds of `roc`, and how many impostors and genuine pairs each accepts."""
    _check(scores, genuine)
    levels, level = torch.unique(scores.detach().double(), return_inverse=True)
    counts = torch.bincount(2 * level + genuine, minlength=2 * len(levels)).reshape(-1, 2)
    accepted = torch.nn.functional.pad(counts.flip(0).cumsum(0), (0, 0, 1, 0))
    return torch.nn.functional.pad(levels.flip(0), (1, 0), value=math.inf), accepted


def _check(scores: Float[Tensor, " pair"], genuine: Bool[Tensor, " pair"]) -> None:
    if scores.ndim != 1 or len(scores) == 0 or genuine.shape != scores.shape or genuine.dtype != torch.bool:
        raise DataError(
            f"expected a score and True or False for each pair, got {scores.dtype} {tuple(scores.shape)} and "
            f"{genuine.dtype} {tuple(genuine.shape)}",
            place="genuine",
        )
    bad = ~scores.isfinite()
    if bool(bad.any()):
        raise DataError(f"{int(bad.sum())} of {len(scores)} scores are NaN or infinite", place="scores")
