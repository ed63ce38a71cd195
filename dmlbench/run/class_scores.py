"""Scores of items put into the classes that were trained, and of the finer classes that nobody was shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import DataError
from dmlbench.run.known import Known
from dmlbench.score import ClassSums, expression, score
from dmlbench.score.classification import nearest_class
from dmlbench.score.expression import confusion
from dmlbench.spec.run import RunSpec

ACCURACY = "accuracy"
"""The one metric of classes that is a mean over items."""


@dataclass(frozen=True)
class ClassScores:
    """It answers as `Scores` does, an item for a query."""

    metrics: dict[str, float]
    metric_versions: dict[str, int]
    matrix: Int[Tensor, "class class"]
    """Items of each class (row) that were taken for each class (column)."""
    classes: tuple[str, ...]
    """Names of the rows and columns: the classes that were trained."""
    right: Bool[Tensor, " item"]
    skipped: int
    """Items that no other item of their side is of the class of: they have no ranking."""

    @property
    def queries(self) -> int:
        return len(self.right)

    def class_sums(self, labels: Int[Tensor, " item"], names: Iterable[str]) -> ClassSums:
        """Items, and those put into their class, by class."""
        classes, index = torch.unique(labels, return_inverse=True)
        counts = torch.bincount(index, minlength=len(classes))
        sums = torch.zeros(len(classes), dtype=torch.float64).index_add_(0, index, self.right.double())
        return ClassSums(classes, counts, {ACCURACY: sums} if ACCURACY in names else {})

    def said(self) -> dict[str, object]:
        """What stands beside the scores: the matrix, which adds up over folds."""
        return {"classes": list(self.classes), "confusion": self.matrix.tolist()}


def class_scores(
    spec: RunSpec,
    part: Part | TestLabels,
    embeddings: Tensor,
    metrics: Sequence[str],
    known: Known,
) -> ClassScores:
    """`metrics` of one side. An item's class is the one whose mean of training images is nearest.

    Metrics of rankings rank the side's items among themselves. `DataError` for a class that never trained.
    """
    protocol = spec.protocol
    assert protocol.tie_seed is not None
    assert protocol.lone is not None
    labels = as_trained(spec, part, known)
    predictions = nearest_class(embeddings, known.embeddings, known.part.labels, spec.method.distance)
    matrix = confusion(labels, predictions, len(known.part.classes))
    values = {name: function(matrix) for name, function in expression.OF_MATRIX.items() if name in metrics}
    versions = {name: expression.METRIC_VERSIONS[name] for name in values}
    skipped = 0
    if ranked := [name for name in metrics if name not in values]:
        found = score(
            embeddings,
            labels,
            metrics=ranked,
            distance=spec.method.distance,
            tie_seed=protocol.tie_seed,
            lone=protocol.lone,
        )
        values |= found.metrics
        versions |= found.metric_versions
        skipped = found.skipped
    return ClassScores(
        {name: values[name] for name in metrics},
        {name: versions[name] for name in metrics},
        matrix,
        known.part.classes,
        labels == predictions,
        skipped,
    )


def as_trained(spec: RunSpec, part: Part | TestLabels, known: Known) -> Int[Tensor, " item"]:
    """The items' classes, numbered as those of the training images."""
    number = {name: label for label, name in enumerate(known.part.classes)}
    if strange := [name for name in part.classes if name not in number]:
        raise DataError(
            f"class {strange[0]!r} has no training image, and {spec.protocol.id} puts items into classes "
            "that were trained",
            place=f"task {spec.task.id}",
            way_out="a task with every class on every side",
        )
    return torch.tensor([number[name] for name in part.classes])[part.labels]
