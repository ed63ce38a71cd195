"""Scores of pairs told apart: what stands in the record, by class, and beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.data.pairs import DrawnPairs, draw_pairs
from dmlbench.data.store import Part, TestLabels
from dmlbench.score import ClassSums
from dmlbench.score.roc import Roc, roc
from dmlbench.score.verification import Verification, fars_of, verify
from dmlbench.spec.protocol import Pairs, Scored
from dmlbench.spec.run import RunSpec

BY_PAIR = "lfw_accuracy"
"""The one metric of pairs that is a mean over them: folds are equally large."""


@dataclass(frozen=True)
class PairScores:
    """Metrics over pairs, and what they rest on. It answers as `Scores` does, a pair for a query."""

    metrics: dict[str, float]
    metric_versions: dict[str, int]
    drawn: DrawnPairs
    found: Verification

    @property
    def queries(self) -> int:
        return len(self.drawn.rows)

    @property
    def skipped(self) -> int:
        return 0

    @property
    def right(self) -> Bool[Tensor, " pair"]:
        """Whether each pair is decided rightly, at the threshold of the other folds."""
        assert self.found.folds is not None
        thresholds = self.found.folds.thresholds[self.drawn.folds]
        return (self.found.similarities >= thresholds) == self.drawn.genuine

    @property
    def errors(self) -> dict[str, float]:
        """The standard error of the mean over folds, named after its metric."""
        if BY_PAIR not in self.metrics:
            return {}
        assert self.found.folds is not None
        return {f"{BY_PAIR}_standard_error": self.found.folds.standard_error}

    @property
    def roc(self) -> Roc:
        return roc(self.found.similarities, self.drawn.genuine)

    def class_sums(self, labels: Int[Tensor, " item"], names: Iterable[str]) -> ClassSums:
        """Pairs, and those rightly decided, by the class of a pair's first picture."""
        classes, index = torch.unique(labels[self.drawn.rows[:, 0]], return_inverse=True)
        counts = torch.bincount(index, minlength=len(classes))
        sums = torch.zeros(len(classes), dtype=torch.float64).index_add_(0, index, self.right.double())
        return ClassSums(classes, counts, {BY_PAIR: sums} if BY_PAIR in names else {})

    def said(self) -> dict[str, object]:
        """What stands beside the scores: how many pairs, how they were drawn, each fold's threshold."""
        assert self.found.folds is not None
        return {
            "genuine": self.found.genuine,
            "impostors": self.found.impostors,
            "across": self.drawn.across,
            "coarse": [name for name in self.found.coarse if name in self.metrics],
            "fold_thresholds": self.found.folds.thresholds.tolist(),
            "fold_accuracies": self.found.folds.accuracies.tolist(),
        }


def pair_scores(
    spec: RunSpec,
    pairs: Pairs,
    side: Scored,
    part: Part | TestLabels,
    embeddings: Float[Tensor, "item dim"],
    metrics: Sequence[str],
) -> PairScores:
    """`metrics` of the side's pairs, which core draws."""
    drawn = draw_pairs(pairs, side, part, f"task {spec.task.id}")
    found = verify(
        embeddings, drawn.rows, drawn.genuine, drawn.folds, fars_of(metrics), distance=spec.method.distance
    )
    return PairScores(
        {name: found.metrics[name] for name in metrics},
        {name: found.metric_versions[name] for name in metrics},
        drawn,
        found,
    )
