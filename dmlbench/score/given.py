"""What `score` was given, checked: embeddings and labels that fit together, on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError
from dmlbench.score.inputs import as_embeddings, as_labels

Array = Tensor | np.ndarray
#: The level of the labels themselves, beside named ones.
MAIN = ""


@dataclass(frozen=True)
class Given:
    """Queries, what is searched, and for each level the labels of both."""

    queries: Float[Tensor, "query dim"]
    gallery: Float[Tensor, "gallery dim"]
    own: Int[Tensor, " query"] | None
    """The gallery row that is the query itself, -1 for none; None when no query is in the gallery."""
    levels: dict[str, tuple[Tensor, Tensor]]

    @property
    def labels(self) -> tuple[Tensor, Tensor]:
        return self.levels[MAIN]

    @property
    def multi_label(self) -> bool:
        return self.labels[0].ndim == 2


def check_given(
    embeddings: Array,
    labels: Array,
    gallery: Array | None,
    gallery_labels: Array | None,
    own_rows: Array | None,
    levels: Mapping[str, Array],
    gallery_levels: Mapping[str, Array],
) -> Given:
    """Raises `DataError` for arrays that do not fit, `UsageError` for half a gallery."""
    if (gallery is None) != (gallery_labels is None):
        raise UsageError("a gallery and its labels are given together or not at all")
    if gallery is None and own_rows is not None:
        raise UsageError("own_rows are rows of a gallery, and there is none")
    if set(gallery_levels) != (set() if gallery is None else set(levels)):
        raise UsageError("every level needs labels for the queries and, where there is one, for the gallery")
    for name in levels:
        if not name or "/" in name:
            raise UsageError(f"a level named {name!r}", way_out="a word, as in alphabet/recall_at_1")
    queries = as_embeddings(embeddings, "embeddings")
    named = {MAIN: labels, **levels}
    query_levels = {name: _labels(values, queries, "labels", name) for name, values in named.items()}
    if gallery is None or gallery_labels is None:
        own = torch.arange(len(queries), device=queries.device)
        return Given(queries, queries, own, {name: (both, both) for name, both in query_levels.items()})
    items = as_embeddings(gallery, "gallery").to(queries.device)
    if items.shape[1] != queries.shape[1]:
        raise DataError(
            f"queries have {queries.shape[1]} dimensions, the gallery has {items.shape[1]}", place="gallery"
        )
    pairs = {}
    for name, values in {MAIN: gallery_labels, **gallery_levels}.items():
        item_labels = _labels(values, items, "gallery_labels", name)
        if item_labels.shape[1:] != query_levels[name].shape[1:]:
            raise DataError(
                f"queries have labels of shape {tuple(query_levels[name].shape)}, gallery items of "
                f"{tuple(item_labels.shape)}",
                place="gallery_labels",
            )
        pairs[name] = (query_levels[name], item_labels)
    own = None if own_rows is None else _own(own_rows, queries, items)
    return Given(queries, items, own, pairs)


def _labels(values: Array, rows: Tensor, place: str, level: str) -> Tensor:
    if not level:
        return as_labels(values, len(rows), place).to(rows.device)
    labels = as_labels(values, len(rows), f"{place}, level {level}")
    if labels.ndim != 1:
        raise DataError("a level has one class for each item", place=f"{place}, level {level}")
    return labels.to(rows.device)


def _own(values: Array, queries: Tensor, items: Tensor) -> Int[Tensor, " query"]:
    own = as_labels(values, len(queries), "own_rows").to(queries.device)
    if own.ndim != 1 or bool(((own < -1) | (own >= len(items))).any()):
        raise DataError(
            f"expected a row of the gallery of {len(items)} for each query, or -1", place="own_rows"
        )
    return own
