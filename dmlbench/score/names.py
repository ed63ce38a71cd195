"""Names of metrics, and what each is computed from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from dmlbench.errors import UsageError, nearest
from dmlbench.score import classification, clustering, metrics, overlap, spread

#: places: where a query's positives stand. overlap: that, and the labels they share. neighbours: the labels
#: of the nearest items. means: queries against class means. clusters: five k-means. points: all embeddings at
#: once.
Source = Literal["places", "overlap", "neighbours", "means", "clusters", "points"]


@dataclass(frozen=True)
class Metric:
    """A metric with its cut-off, if it has one; raise `version` when its numbers change."""

    function: Callable[..., Any]
    source: Source = "places"
    depth: Literal["k", "r", "all"] = "k"
    """How far down the ranking it looks: to its cut-off, to R, or to the end."""
    several_labels: bool | None = None
    """Whether it wants items with several labels (rows of 0 and 1), or with one; None takes both."""
    version: int = 1
    k: int | None = None

    def __call__(self, *given: Any) -> Any:
        return self.function(*given) if self.k is None else self.function(*given, k=self.k)


#: `_at_K` stands for a cut-off, a positive whole number.
METRICS: dict[str, Metric] = {
    "recall_at_K": Metric(metrics.recall_at_k),
    "precision_at_K": Metric(metrics.precision_at_k),
    "r_precision": Metric(metrics.r_precision, depth="r"),
    "map_at_r": Metric(metrics.map_at_r, depth="r"),
    "map": Metric(metrics.average_precision, depth="all"),
    "map_at_K": Metric(metrics.map_at_k),
    "map_min_at_K": Metric(metrics.map_min_at_k),
    "map_hits_at_K": Metric(metrics.map_hits_at_k),
    "map_voc": Metric(metrics.map_voc, depth="all"),
    "map_voc_at_K": Metric(metrics.map_voc_at_k),
    "ndcg_at_K": Metric(metrics.ndcg_at_k),
    "mrr": Metric(metrics.reciprocal_rank, depth="all"),
    "ndcg_graded_at_K": Metric(overlap.ndcg_graded_at_k, "overlap", several_labels=True),
    "ndcg_graded_exp_at_K": Metric(overlap.ndcg_graded_exp_at_k, "overlap", several_labels=True),
    "acg_at_K": Metric(overlap.acg_at_k, "overlap", several_labels=True),
    "wmap_at_K": Metric(overlap.wmap_at_k, "overlap", several_labels=True),
    "label_accuracy_at_K": Metric(overlap.label_accuracy_at_k, "overlap", several_labels=True),
    "label_precision_at_K": Metric(overlap.label_precision_at_k, "overlap", several_labels=True),
    "label_recall_at_K": Metric(overlap.label_recall_at_k, "overlap", several_labels=True),
    "label_f1_at_K": Metric(overlap.label_f1_at_k, "overlap", several_labels=True),
    "hamming_loss_at_K": Metric(classification.hamming_loss, "neighbours", several_labels=True),
    "knn_accuracy_at_K": Metric(classification.knn_accuracy, "neighbours", several_labels=False),
    "class_mean_accuracy": Metric(classification.class_mean_accuracy, "means", several_labels=False),
    "nmi": Metric(clustering.nmi, "clusters", several_labels=False),
    "ami": Metric(clustering.ami, "clusters", several_labels=False),
    "pairwise_f1": Metric(clustering.pairwise_f1, "clusters", several_labels=False),
    "intra_inter_ratio": Metric(spread.intra_inter_ratio, "points", several_labels=False),
    "spectral_decay": Metric(lambda points, labels: spread.spectral_decay(points), "points"),
}

# No leading zeros: one metric has one name. No cut-off reaches `NO_RANK`.
_CUT_OFF = re.compile(r"(?P<stem>.+)_at_(?P<k>[1-9][0-9]{0,8})")


def metric(name: str) -> Metric:
    """The metric of that name; `UsageError`, with the nearest name and the list, when there is none."""
    cut = _CUT_OFF.fullmatch(name)
    if cut and f"{cut['stem']}_at_K" in METRICS:
        pattern = METRICS[f"{cut['stem']}_at_K"]
        return replace(pattern, k=int(cut["k"]))
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
