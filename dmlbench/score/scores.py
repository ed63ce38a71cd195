"""`score`: embeddings and labels in, metrics out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError
from dmlbench.score.distance import check_distance
from dmlbench.score.faiss_library import faiss
from dmlbench.score.given import MAIN, Array, Given, check_given
from dmlbench.score.inputs import as_labels
from dmlbench.score.memory import Plan
from dmlbench.score.names import Metric, metrics_of
from dmlbench.score.ties import TIES
from dmlbench.score.values import Computed, Settings, all_values, level_of

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
    """float64 on the CPU, in the order of the queries; NaN for a query left out. Metrics of all embeddings at
    once (clusterings, statistics) have none."""
    ties: str
    """How ties were settled."""

    def class_sums(self, labels: Array, names: Iterable[str] | None = None) -> ClassSums:
        """Counts and sums per class of the query labels, for `names` (all metrics unless given).

        `UsageError` for metrics of levels (other queries are lone there) and of all embeddings at once.
        """
        known = [name for name in self.per_query if level_of(name) == MAIN]
        chosen = known if names is None else list(names)
        for name in chosen:
            if name not in known:
                raise UsageError(f"{name!r} was not scored", way_out=f"one of {', '.join(known)}")
        if not chosen:
            raise UsageError("no metric was scored that has a value for each query")
        first = self.per_query[chosen[0]]
        ids = as_labels(labels, len(first), "labels").cpu()
        if ids.ndim != 1:
            raise UsageError("items with several labels have no class to sum over")
        classes, index = torch.unique(ids, return_inverse=True)
        counted = ~first.isnan()

        def sums(values: Tensor) -> Tensor:
            zeros = torch.zeros(len(classes), dtype=values.dtype)
            return zeros.index_add_(0, index[counted], values[counted])

        counts = sums(torch.ones(len(first), dtype=torch.int64))
        return ClassSums(classes, counts, {name: sums(self.per_query[name]) for name in chosen})


def score(
    embeddings: Float[Tensor, "query dim"] | Array,
    labels: Int[Tensor, " query"] | Int[Tensor, "query label"] | Array,
    *,
    gallery: Float[Tensor, "gallery dim"] | Array | None = None,
    gallery_labels: Array | None = None,
    own_rows: Int[Tensor, " query"] | Array | None = None,
    levels: Mapping[str, Array] | None = None,
    gallery_levels: Mapping[str, Array] | None = None,
    metrics: Sequence[str] | None = None,
    distance: str = "cosine",
    curvature: float = 1.0,
    ties: Literal["permuted", "stable", "expected", "pessimistic"] | None = None,
    tie_seed: int = 0,
    lone: Literal["excluded", "zero"] = "excluded",
    average: Literal["query", "class"] = "query",
    backend: Literal["torch", "faiss"] = "torch",
    max_block_mib: int | None = None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_progress: Callable[[int], None] = lambda queries: None,
) -> Scores:
    """Score embeddings by retrieval: each is a query, ranked against the others or against a gallery.

    Without a gallery a query is left out of its own ranking by its index; in a gallery that holds queries,
    `own_rows` says where. Labels are class ids, or rows of 0 and 1 where items have several labels: then
    items that share one are relevant. `levels` are further labels of the same items (alphabet, species);
    their metrics are called `alphabet/recall_at_1`.

    Ties are broken by a permutation of the gallery that `tie_seed` fixes; binary codes, where they are the
    rule, get the mean over all orders unless `ties` is given. A query without positives is left out and
    counted (`lone="excluded"`) or counts as 0 (`"zero"`). Means are over queries, or over classes
    (`average`). `curvature` c is that of the Poincaré ball of radius 1/√c.

    Work is done where `embeddings` is, in float32 at least, block by block, in what memory is free at most;
    `on_plan` hears the portions before the start, `on_progress` the number of queries done. No result depends
    on `max_block_mib`.

    Raises `DataError` for embeddings that are not finite, for lengths that differ, when no query has a
    positive, and when the gallery does not fit the memory; `UsageError` for an unknown metric or distance.

    >>> points = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> score(points, torch.tensor([3, 3, 8, 8]), metrics=["recall_at_1"]).metrics
    {'recall_at_1': 1.0}
    """
    chosen = metrics_of(DEFAULT_METRICS if metrics is None else metrics)
    check_distance(distance, curvature)
    ties = ties or ("expected" if distance == "hamming" else "permuted")
    for name, value, known in (
        ("ties", ties, TIES),
        ("lone", lone, ("excluded", "zero")),
        ("average", average, ("query", "class")),
        ("backend", backend, ("torch", "faiss")),
    ):
        if value not in known:
            raise UsageError(f"{name}={value!r}", way_out=f"one of {', '.join(known)}")
    if max_block_mib is not None and max_block_mib < 1:
        raise UsageError(f"max_block_mib={max_block_mib}: a block needs at least 1 MiB")
    given = check_given(
        embeddings, labels, gallery, gallery_labels, own_rows, levels or {}, gallery_levels or {}
    )
    _check_labels(chosen, given, average)
    _check_fit(chosen, distance, lone)
    if not 0 <= tie_seed < 2**63:
        raise UsageError(f"tie_seed={tie_seed}", way_out="a whole number from 0")
    settings = Settings(distance, curvature, ties, tie_seed, backend, max_block_mib)
    values = all_values(given, chosen, settings, on_plan, on_progress)

    for level, found in values.has_positives.items():
        if not bool(found.any()):
            raise DataError(
                f"none of the {len(found)} queries has another item of its class in the gallery",
                place=f"labels, level {level}" if level else "labels",
                way_out="classes need two items each, or a gallery that shares the queries' labels",
            )
    found = values.has_positives[MAIN]
    if lone == "zero":
        values = values.with_lone_as_zero()
    counted = int(found.sum()) if lone == "excluded" else len(found)
    means = _means(values, given.labels[0].cpu() if average == "class" else None)
    return Scores(
        metrics=means,
        queries=counted,
        skipped=len(found) - counted,
        metric_versions={name: chosen[name.rpartition("/")[2]].version for name in means},
        per_query=values.per_query,
        ties=ties,
    )


def _check_labels(chosen: Mapping[str, Metric], given: Given, average: str) -> None:
    if average == "class" and given.multi_label:
        raise UsageError("items with several labels have no class to average over", way_out="average='query'")
    for name, metric in chosen.items():
        wants_several = metric.several_labels
        if wants_several is not None and wants_several != given.multi_label:
            wanted, got = (
                ("rows of 0 and 1", "class ids") if wants_several else ("class ids", "rows of 0 and 1")
            )
            raise UsageError(f"{name} wants labels that are {wanted}, and got {got}")


def _check_fit(chosen: Mapping[str, Metric], distance: str, lone: str) -> None:
    """Before any work: what has no meaning together."""
    flat = [name for name, metric in chosen.items() if metric.source in ("means", "clusters", "points")]
    if flat and distance not in ("cosine", "euclidean"):
        raise UsageError(
            f"{', '.join(flat)}: undefined in the {distance} distance", way_out="cosine or euclidean"
        )
    if any(metric.source == "clusters" for metric in chosen.values()):
        faiss()
    losses = [name for name in chosen if name.startswith("hamming_loss")]
    if losses and lone == "zero":
        raise UsageError(f"{losses[0]} is best at 0, which lone='zero' would give", way_out="lone='excluded'")


def _means(values: Computed, classes: Int[Tensor, " query"] | None) -> dict[str, float]:
    """In the order in which the metrics were asked for, levels after the labels themselves."""
    means = {}
    for name in values.names:
        if name in values.single:
            means[name] = values.single[name]
            continue
        value = values.per_query[name]
        counted = ~value.isnan()
        if classes is None:
            means[name] = float(value[counted].mean())
            continue
        _, index, sizes = torch.unique(classes[counted], return_inverse=True, return_counts=True)
        sums = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, index, value[counted])
        means[name] = float((sums / sizes).mean())
    return means
