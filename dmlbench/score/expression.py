"""Classification of expressions: a confusion matrix, and what is read off it.

Matrices add up: the sum over cross-subject folds gives the pooled accuracy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from dmlbench.errors import DataError
from dmlbench.score.inputs import as_labels

METRIC_VERSIONS: dict[str, int] = {"accuracy": 1, "macro_f1": 1, "mean_class_accuracy": 1}


def confusion(
    labels: Int[Tensor, " item"] | np.ndarray,
    predictions: Int[Tensor, " item"] | np.ndarray,
    num_classes: int,
) -> Int[Tensor, "class class"]:
    """How many items of each class (row) were taken for each class (column); classes are 0, 1, …

    >>> confusion(torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2]), num_classes=3)
    tensor([[1, 0, 1],
            [0, 0, 0],
            [0, 0, 1]])
    """
    truth = as_labels(labels, len(labels), "labels")
    taken = as_labels(predictions, len(truth), "predictions").to(truth.device)
    if truth.ndim != 1 or taken.ndim != 1 or len(truth) == 0:
        raise DataError(
            f"expected a class for each item, got shapes {tuple(truth.shape)} and {tuple(taken.shape)}",
            place="labels",
        )
    for name, values in (("labels", truth), ("predictions", taken)):
        strange = values[(values < 0) | (values >= num_classes)]
        if len(strange):
            raise DataError(
                f"class {int(strange[0])} is none of the {num_classes} classes "
                f"({len(strange)} of {len(values)} items)",
                place=name,
                way_out="number the classes from 0",
            )
    return torch.bincount(truth * num_classes + taken, minlength=num_classes**2).reshape(num_classes, -1)


def accuracy(matrix: Int[Tensor, "class class"]) -> float:
    """The share of items on the diagonal.

    >>> accuracy(torch.tensor([[3, 1], [0, 4]]))
    0.875
    """
    return float(matrix.diagonal().sum().double() / matrix.sum())


def macro_f1(matrix: Int[Tensor, "class class"]) -> float:
    """The mean over all classes of F1 = 2TP / (2TP + FP + FN), 0 for a class never seen and never predicted.

    >>> macro_f1(torch.tensor([[2, 0, 0], [0, 2, 0], [0, 0, 0]]))
    0.6666666666666666
    """
    both = matrix.sum(dim=0) + matrix.sum(dim=1)
    return float((2 * matrix.diagonal().double() / both.clamp(min=1)).mean())


def mean_class_accuracy(matrix: Int[Tensor, "class class"]) -> float:
    """The mean over the classes that have items of the share taken rightly: balanced accuracy.

    >>> mean_class_accuracy(torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    0.875
    """
    items = matrix.sum(dim=1)
    return float((matrix.diagonal().double() / items)[items > 0].mean())


#: The metrics that are read off a matrix.
OF_MATRIX: dict[str, Callable[[Int[Tensor, "class class"]], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "mean_class_accuracy": mean_class_accuracy,
}
