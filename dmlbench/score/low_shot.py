"""Few labelled examples a class: templates imprinted among all classes, and few-shot episodes.

An item as near to m classes counts 1/m when its own is one of them: the mean over random orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError, UsageError
from dmlbench.score.distance import unit
from dmlbench.score.inputs import as_embeddings, as_labels

METRIC_VERSIONS: dict[str, int] = {
    "accuracy_novel": 1,
    "accuracy_all": 1,
    "accuracy_transfer": 1,
    "accuracy_episodes": 1,
}

# Similarities, or numbers gathered, at a time.
_CHUNK_ELEMENTS = 2**22


@dataclass(frozen=True)
class LowShot:
    """Means over the draws of exemplars, in float64, and the values they are means of."""

    metrics: dict[str, float]
    """`accuracy_novel`, `accuracy_all`: novel, all test items among all classes; `accuracy_transfer`: novel
    test items among the novel classes."""
    per_draw: dict[str, Float[Tensor, " draw"]]
    metric_versions: dict[str, int]


class Episodes(NamedTuple):
    """Mean accuracy, half the width 1.96 std/√E of its 95 % interval, and the values it is the mean of."""

    accuracy: float
    half_width: float
    per_episode: Float[Tensor, " episode"]


def draw_exemplars(
    labels: Int[Tensor, " item"], shots: int, generator: torch.Generator
) -> Int[Tensor, "class shots"]:
    """Rows of `shots` items of each class, drawn without replacement by a CPU generator; classes ascending.

    >>> draw_exemplars(torch.tensor([8, 5, 8]), 1, torch.Generator().manual_seed(0))[0]
    tensor([1])
    """
    classes, index, sizes = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)
    _check_sizes(classes, sizes, shots)
    order = torch.randperm(len(labels), generator=generator)
    grouped = order[index[order].argsort(stable=True)]
    return grouped[(sizes.cumsum(0) - sizes)[:, None] + torch.arange(shots)]


def imprint(exemplars: Float[Tensor, "class shots dim"]) -> Float[Tensor, "class dim"]:
    """Templates: the normalised mean of each class's normalised exemplars (Qi, Brown and Lowe, CVPR 2018).

    Exemplars that cancel leave the template 0, whose cosine with anything is 0.

    >>> imprint(torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]))
    tensor([[0.8944, 0.4472]])
    """
    return unit(unit(exemplars.flatten(0, 1)).reshape(exemplars.shape).mean(dim=1))


def imprinted_accuracy(
    train: Float[Tensor, "train dim"] | np.ndarray,
    train_labels: Int[Tensor, " train"] | np.ndarray,
    test: Float[Tensor, "test dim"] | np.ndarray,
    test_labels: Int[Tensor, " test"] | np.ndarray,
    novel: Int[Tensor, " class"] | np.ndarray,
    *,
    shots: int,
    draws: int = 10,
    seed: int = 0,
    base_templates: Float[Tensor, "class dim"] | np.ndarray | None = None,
) -> LowShot:
    """Top-1 accuracy by cosine to class templates, those of `novel` classes imprinted from `shots` items.

    The other classes of `train_labels` are the base. Their templates are `base_templates`, classes ascending
    (the rows of a trained classifier), or imprinted from all their training items. `seed` fixes all draws.

    Raises `DataError` for a novel class with too few training items and a test label without any.

    >>> points, labels = torch.eye(3), torch.tensor([1, 2, 3])
    >>> imprinted_accuracy(points, labels, points, labels, torch.tensor([3]), shots=1).metrics
    {'accuracy_novel': 1.0, 'accuracy_all': 1.0, 'accuracy_transfer': 1.0}
    """
    _check_least(1, shots=shots, draws=draws)
    rows = unit(as_embeddings(train, "train").double())
    row_labels = _class_ids(train_labels, len(rows), "train_labels").to(rows.device)
    items = _like(rows, test, "test")
    item_labels = _class_ids(test_labels, len(items), "test_labels").to(rows.device)
    novel_ids = _class_ids(novel, len(novel), "novel").to(rows.device)

    classes, index = torch.unique(row_labels, return_inverse=True)
    for name, ids in (("novel", novel_ids), ("test_labels", item_labels)):
        unknown = ids[~torch.isin(ids, classes)]
        if len(unknown):
            raise DataError(f"class {int(unknown[0])} has no training item", place=name)
    is_novel = torch.isin(classes, novel_ids)
    own = torch.searchsorted(classes, item_labels)
    asked = is_novel[own]
    if not bool(asked.any()):
        raise DataError("no test item is of a novel class", place="test_labels")

    templates = unit(rows.new_zeros(len(classes), rows.shape[1]).index_add_(0, index, rows))
    if base_templates is not None:
        base = _like(rows, base_templates, "base_templates")
        wanted = int((~is_novel).sum())
        if len(base) != wanted:
            raise DataError(f"{len(base)} templates for {wanted} base classes", place="base_templates")
        templates[~is_novel] = base

    candidates = is_novel[index].nonzero().squeeze(1)
    own_novel = is_novel.cumsum(0)[own[asked]] - 1
    generator = torch.Generator().manual_seed(seed)
    per_draw = []
    for _ in range(draws):
        exemplars = draw_exemplars(row_labels[candidates], shots, generator).to(rows.device)
        templates[is_novel] = imprint(rows[candidates[exemplars]])
        right = _right(items, templates, own)
        transfer = _right(items[asked], templates[is_novel], own_novel)
        per_draw.append(torch.stack([right[asked].mean(), right.mean(), transfer.mean()]))
    names = ("accuracy_novel", "accuracy_all", "accuracy_transfer")
    values = dict(zip(names, torch.stack(per_draw, dim=1).cpu(), strict=True))
    return LowShot(
        metrics={name: float(value.mean()) for name, value in values.items()},
        per_draw=values,
        metric_versions={name: METRIC_VERSIONS[name] for name in names},
    )


def episode_accuracy(
    embeddings: Float[Tensor, "item dim"] | np.ndarray,
    labels: Int[Tensor, " item"] | np.ndarray,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 1000,
    seed: int = 0,
) -> Episodes:
    """Few-shot accuracy by cosine to class means (as `imprint` makes them), over random episodes.

    An episode draws `ways` classes, and of each `shots` items for the mean and `queries` others to classify.
    `seed` and the labels fix the episodes: every method sees the same.

    Raises `DataError` when there are fewer classes than ways or a class with fewer items than are drawn.

    >>> points, labels = torch.eye(3).repeat(2, 1), torch.arange(3).repeat(2)
    >>> episode_accuracy(points, labels, ways=3, shots=1, queries=1, episodes=10)[:2]
    (1.0, 0.0)
    """
    _check_least(1, shots=shots, queries=queries)
    _check_least(2, ways=ways, episodes=episodes)
    rows = as_embeddings(embeddings, "embeddings").double()
    ids = _class_ids(labels, len(rows), "labels")
    drawn = _draw_episodes(ids, ways, shots + queries, episodes, seed)
    own = torch.arange(ways, device=rows.device).repeat_interleave(queries)
    values = []
    for chunk in drawn.to(rows.device).split(max(1, _CHUNK_ELEMENTS // (drawn[0].numel() * rows.shape[1]))):
        items = rows[chunk]  # [episode, way, shot or query, dim]
        means = imprint(items[:, :, :shots].flatten(0, 1)).unflatten(0, (-1, ways))
        similarities = items[:, :, shots:].flatten(1, 2) @ means.mT
        values.append(_share(similarities, own.expand(len(chunk), -1)).mean(dim=1))
    per_episode = torch.cat(values).cpu()
    error = float(per_episode.std(correction=1)) / math.sqrt(episodes)
    return Episodes(float(per_episode.mean()), 1.96 * error, per_episode)


def _draw_episodes(
    labels: Int[Tensor, " item"], ways: int, count: int, episodes: int, seed: int
) -> Int[Tensor, "episode way count"]:
    """Rows of `count` items of each of `ways` classes, both without replacement."""
    classes, index, sizes = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)
    if len(classes) < ways:
        raise DataError(f"{len(classes)} classes; an episode needs {ways}", place="labels")
    _check_sizes(classes, sizes, count)
    grouped, starts = index.argsort(stable=True), sizes.cumsum(0) - sizes
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(episodes, len(classes), generator=generator).topk(ways, dim=1).indices
    drawn = []
    for way in chosen.T:
        keys = torch.rand(episodes, int(sizes.max()), generator=generator)
        keys.masked_fill_(torch.arange(keys.shape[1]) >= sizes[way][:, None], -1)
        drawn.append(grouped[starts[way][:, None] + keys.topk(count, dim=1).indices])
    return torch.stack(drawn, dim=1)


def _right(
    items: Float[Tensor, "item dim"], templates: Float[Tensor, "class dim"], own: Int[Tensor, " item"]
) -> Float[Tensor, " item"]:
    height = max(1, _CHUNK_ELEMENTS // len(templates))
    chunks = zip(items.split(height), own.split(height), strict=True)
    return torch.cat([_share(some @ templates.T, classes) for some, classes in chunks])


def _share(similarities: Float[Tensor, "*item class"], own: Int[Tensor, "*item"]) -> Float[Tensor, "*item"]:
    """1/m where the own class is one of the m nearest, else 0."""
    nearest = (similarities == similarities.amax(dim=-1, keepdim=True)).double()
    return nearest.gather(-1, own[..., None]).squeeze(-1) / nearest.sum(dim=-1)


def _like(
    rows: Float[Tensor, "row dim"], values: Float[Tensor, "item dim"] | np.ndarray, name: str
) -> Float[Tensor, "item dim"]:
    """Embeddings of length 1, of the dtype, device and dimension of `rows`."""
    items = unit(as_embeddings(values, name).to(rows))
    if items.shape[1] != rows.shape[1]:
        raise DataError(f"{name} has {items.shape[1]} dimensions, train has {rows.shape[1]}", place=name)
    return items


def _class_ids(values: Tensor | np.ndarray, count: int, name: str) -> Int[Tensor, " item"]:
    ids = as_labels(values, count, name)
    if ids.ndim != 1:
        raise DataError(f"expected class ids, got shape {tuple(ids.shape)}", place=name)
    return ids


def _check_sizes(classes: Int[Tensor, " class"], sizes: Int[Tensor, " class"], least: int) -> None:
    small = sizes < least
    if bool(small.any()):
        raise DataError(
            f"class {int(classes[small][0])} has {int(sizes[small][0])} items; {least} are drawn "
            f"({int(small.sum())} of {len(classes)} classes are too small)",
            place="labels",
            way_out="fewer shots or queries, or leave small classes out",
        )


def _check_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise UsageError(f"{name}={number}: {least} is the least")
