"""Ranking metrics: pure functions of the ranks of a query's positives, one value per query.

`ranks` holds each query's 1-based ranks, ascending, at least one column, padded with `NO_RANK`; `relevant` is
how many are real: R, the number of positives in the gallery. A query with R = 0 gives NaN: the caller decides
what it counts. No value depends on the padding. A new metric is one function and one line in `METRICS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import UsageError, nearest

Ranks = Int[Tensor, "query positive"]
Relevant = Int[Tensor, " query"]
Values = Float[Tensor, " query"]


def recall_at_k(ranks: Ranks, relevant: Relevant, k: int) -> Values:
    """1 where a positive stands among the first k: the field's Recall@K, not the share of positives found.

    >>> recall_at_k(torch.tensor([[2, 3]]), torch.tensor([2]), k=1)
    tensor([0.], dtype=torch.float64)
    """
    return _unless_lone((ranks <= k).any(dim=1).double(), relevant)


def precision_at_k(ranks: Ranks, relevant: Relevant, k: int) -> Values:
    """Positives among the first k, over k, also when the gallery holds fewer than k items.

    >>> precision_at_k(torch.tensor([[2, 3]]), torch.tensor([2]), k=4)
    tensor([0.5000], dtype=torch.float64)
    """
    return _unless_lone((ranks <= k).sum(dim=1) / _real(k), relevant)


def r_precision(ranks: Ranks, relevant: Relevant) -> Values:
    """Positives among the first R, over R.

    >>> r_precision(torch.tensor([[2, 3]]), torch.tensor([2]))
    tensor([0.5000], dtype=torch.float64)
    """
    return (ranks <= relevant[:, None]).sum(dim=1) / relevant.double()


def map_at_r(ranks: Ranks, relevant: Relevant) -> Values:
    """Mean average precision at R: precisions at the positives among the first R, summed, over R.

    >>> map_at_r(torch.tensor([[1, 3]]), torch.tensor([2]))
    tensor([0.5000], dtype=torch.float64)
    """
    return _precision_sum(ranks, ranks <= relevant[:, None]) / relevant.double()


def average_precision(ranks: Ranks, relevant: Relevant) -> Values:
    """Average precision over the whole ranking; its mean over queries is `map`.

    >>> average_precision(torch.tensor([[1, 4]]), torch.tensor([2]))
    tensor([0.7500], dtype=torch.float64)
    """
    real = torch.arange(ranks.shape[1], device=ranks.device) < relevant[:, None]
    return _precision_sum(ranks, real) / relevant.double()


def reciprocal_rank(ranks: Ranks, relevant: Relevant) -> Values:
    """1 over the rank of the first positive; its mean over queries is `mrr`.

    >>> reciprocal_rank(torch.tensor([[2, 3]]), torch.tensor([2]))
    tensor([0.5000], dtype=torch.float64)
    """
    return _unless_lone(1 / ranks[:, 0].double(), relevant)


@dataclass(frozen=True)
class Metric:
    """A metric with its cut-off, if it has one; raise `version` when its numbers change."""

    function: Callable[..., Values]
    version: int = 1
    settings: tuple[tuple[str, Any], ...] = ()

    def __call__(self, ranks: Ranks, relevant: Relevant) -> Values:
        return self.function(ranks, relevant, **dict(self.settings))


#: `_at_K` stands for a cut-off, a positive whole number.
METRICS: dict[str, Metric] = {
    "recall_at_K": Metric(recall_at_k),
    "precision_at_K": Metric(precision_at_k),
    "r_precision": Metric(r_precision),
    "map_at_r": Metric(map_at_r),
    "map": Metric(average_precision),
    "mrr": Metric(reciprocal_rank),
}
METRIC_VERSIONS: dict[str, int] = {name: metric.version for name, metric in METRICS.items()}

# No leading zeros: one metric has one name. No cut-off reaches `NO_RANK`.
_CUT_OFF = re.compile(r"(?P<stem>.+)_at_(?P<k>[1-9][0-9]{0,8})")


def metric(name: str) -> Metric:
    """The metric of that name; `UsageError`, with the nearest name and the list, when there is none.

    >>> metric("recall_at_8")(torch.tensor([[8]]), torch.tensor([1]))
    tensor([1.], dtype=torch.float64)
    """
    cut = _CUT_OFF.fullmatch(name)
    if cut and f"{cut['stem']}_at_K" in METRICS:
        pattern = METRICS[f"{cut['stem']}_at_K"]
        return Metric(pattern.function, pattern.version, (("k", int(cut["k"])),))
    if name in METRICS and not name.endswith("_at_K"):
        return METRICS[name]
    raise UsageError(
        f"no metric named {name!r}", near=nearest(name, METRICS), way_out=f"one of {', '.join(METRICS)}"
    )


def metrics_of(names: Iterable[str]) -> dict[str, Metric]:
    """The metrics of those names, in their order; none at all is a `UsageError`."""
    if isinstance(names, str):
        raise UsageError(f"metrics are a list of names, not the text {names!r}", way_out=f"[{names!r}]")
    chosen = {name: metric(name) for name in names}
    if not chosen:
        raise UsageError("no metric is asked for", way_out=f"one of {', '.join(METRICS)}")
    return chosen


def _real(number: int) -> Float[Tensor, ""]:
    # An integer tensor over a Python number is float32; over this it is float64.
    return torch.tensor(number, dtype=torch.float64)


def _precision_sum(ranks: Ranks, counted: Bool[Tensor, "query positive"]) -> Values:
    """Sum over the counted positives of precision at their ranks: the j-th has j / rank."""
    nth = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)
    # Summed from left to right: `sum` groups its terms by the width, and so by the padding.
    return torch.where(counted, nth / ranks.double(), 0.0).cumsum(dim=1)[:, -1]


def _unless_lone(values: Values, relevant: Relevant) -> Values:
    return values.masked_fill(relevant == 0, torch.nan)
