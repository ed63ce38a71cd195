"""`score`: embeddings and labels in, metrics out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError
from dmlbench.score.distance import check_distance
from dmlbench.score.inputs import as_embeddings, as_labels
from dmlbench.score.metrics import metrics_of
from dmlbench.score.ranks import rank_blocks

DEFAULT_METRICS = ("recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "r_precision", "map_at_r")


@dataclass(frozen=True)
class ClassSums:
    """What a bootstrap over classes resamples: sums over each class's counted queries."""

    classes: Int[Tensor, " class"]
    """Labels, ascending; every label of a query is there, also when none of its queries counts."""
    counts: Int[Tensor, " class"]
    sums: dict[str, Float[Tensor, " class"]]


@dataclass(frozen=True)
class Scores:
    """Means over the queries, in float64, and the values they are means of."""

    metrics: dict[str, float]
    queries: int
    """How many queries the means are over."""
    skipped: int
    """Lone queries left out: those without a positive in the gallery."""
    metric_versions: dict[str, int]
    per_query: dict[str, Float[Tensor, " query"]]
    """float64 on the CPU, in the order of the queries; NaN for a query left out."""

    def class_sums(self, labels: Tensor | np.ndarray, names: Iterable[str] | None = None) -> ClassSums:
        """Counts and sums per class of the query labels, for `names` (all metrics unless given)."""
        first = next(iter(self.per_query.values()))
        chosen = list(self.per_query) if names is None else list(names)
        for name in chosen:
            if name not in self.per_query:
                raise UsageError(f"{name!r} was not scored", way_out=f"one of {', '.join(self.per_query)}")
        query_labels = as_labels(labels, len(first), "labels").cpu()
        classes, index = torch.unique(query_labels, return_inverse=True)
        counted = ~first.isnan()

        def sums(values: Tensor) -> Tensor:
            zeros = torch.zeros(len(classes), dtype=values.dtype)
            return zeros.index_add_(0, index[counted], values[counted])

        counts = sums(torch.ones(len(first), dtype=torch.int64))
        return ClassSums(classes, counts, {name: sums(self.per_query[name]) for name in chosen})


def score(
    embeddings: Float[Tensor, "query dim"] | np.ndarray,
    labels: Int[Tensor, " query"] | np.ndarray,
    *,
    gallery: Float[Tensor, "gallery dim"] | np.ndarray | None = None,
    gallery_labels: Int[Tensor, " gallery"] | np.ndarray | None = None,
    metrics: Sequence[str] | None = None,
    distance: str = "cosine",
    curvature: float = 1.0,
    tie_seed: int = 0,
    lone: Literal["excluded", "zero"] = "excluded",
    max_block_mib: int = 64,
) -> Scores:
    """Score embeddings by retrieval: each is a query, ranked against the others or against a gallery.

    Without a gallery a query is left out of its own ranking by its index. Ties are broken by a permutation of
    the gallery that `tie_seed` fixes. A query without positives is left out and counted (`lone="excluded"`)
    or counts as 0 (`"zero"`). `curvature` c is that of the Poincaré ball of radius 1/√c. Work is done where
    `embeddings` is, in float32 at least, block by block; `max_block_mib` never changes a result.

    Raises `DataError` for embeddings that are not finite, for lengths that differ, and when no query has a
    positive; `UsageError` for an unknown metric or distance.

    >>> points = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> score(points, torch.tensor([3, 3, 8, 8]), metrics=["recall_at_1"]).metrics
    {'recall_at_1': 1.0}
    """
    chosen = metrics_of(DEFAULT_METRICS if metrics is None else metrics)
    check_distance(distance, curvature)
    if lone not in ("excluded", "zero"):
        raise UsageError(f"lone={lone!r}: a query without positives is 'excluded' or 'zero'")
    if max_block_mib < 1:
        raise UsageError(f"max_block_mib={max_block_mib}: a block needs at least 1 MiB")
    if (gallery is None) != (gallery_labels is None):
        raise UsageError("a gallery and its labels are given together or not at all")

    queries = as_embeddings(embeddings, "embeddings")
    query_labels = as_labels(labels, len(queries), "labels").to(queries.device)
    items, item_labels = None, None
    if gallery is not None and gallery_labels is not None:
        items = as_embeddings(gallery, "gallery").to(queries.device)
        item_labels = as_labels(gallery_labels, len(items), "gallery_labels").to(queries.device)
        if items.shape[1] != queries.shape[1]:
            raise DataError(
                f"queries have {queries.shape[1]} dimensions, the gallery has {items.shape[1]}",
                place="gallery",
            )

    values = {name: torch.empty(len(queries), dtype=torch.float64) for name in chosen}
    has_positives = torch.empty(len(queries), dtype=torch.bool)
    blocks = rank_blocks(
        queries,
        query_labels,
        items,
        item_labels,
        distance=distance,
        curvature=curvature,
        tie_seed=tie_seed,
        max_block_mib=max_block_mib,
    )
    for start, ranks, relevant in blocks:
        ranks, relevant = ranks.cpu(), relevant.cpu()
        rows = slice(start, start + len(relevant))
        has_positives[rows] = relevant > 0
        for name, metric in chosen.items():
            values[name][rows] = metric(ranks, relevant)

    if not bool(has_positives.any()):
        raise DataError(
            f"none of the {len(queries)} queries has another item of its class in the gallery",
            place="labels",
            way_out="classes need two items each, or a gallery that shares the queries' labels",
        )
    if lone == "zero":
        values = {name: value.masked_fill(~has_positives, 0.0) for name, value in values.items()}
    counts = has_positives if lone == "excluded" else torch.ones_like(has_positives)
    counted = int(counts.sum())
    return Scores(
        metrics={name: float(value[counts].mean()) for name, value in values.items()},
        queries=counted,
        skipped=len(queries) - counted,
        metric_versions={name: metric.version for name, metric in chosen.items()},
        per_query=values,
    )
