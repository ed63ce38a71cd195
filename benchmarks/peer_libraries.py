"""Data for `peers.py`, and what dmlbench and each peer say of it. Peers are imported where they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from dmlbench.score import expression, score, verify
from dmlbench.score.clustering import CLUSTERINGS, kmeans
from dmlbench.score.roc import METRIC_VERSIONS as VERIFICATION

# Items of each class; the last is alone in its class.
SIZES = (40, 33, 27, 22, 18, 15, 13, 11, 9, 7, 5, 2, 1)
# The first seed that gives no query two items at one distance.
SEED = 4
# Above all squared distances of points within ±1023 in four dimensions; below it float32 knows whole numbers.
ABOVE_ALL = 2.0**24


class Items(NamedTuple):
    """Embeddings, and labels: class ids, or rows of 0 and 1."""

    points: np.ndarray
    labels: np.ndarray


class Ranking(NamedTuple):
    """[query, item]: similarities, and gains of which 0 is irrelevant."""

    similarities: np.ndarray
    gains: np.ndarray


@dataclass(frozen=True)
class Data:
    """Queries, and a gallery unless it is the queries themselves."""

    queries: Items
    gallery: Items | None = None
    remark: str = ""


#: (the peer's name for the metric, data, **options): its number, or the name of its error.
Peer = Callable[..., float | str]


# Data


def clusters(seed: int, sizes: tuple[int, ...] = SIZES, grid: int = 1) -> Items:
    """Classes that overlap, in no order; points rounded to a `grid` coincide now and then."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    generator.shuffle(labels)
    centres = generator.normal(0, 450, (len(sizes), 4))
    noise = generator.normal(0, 260, (len(labels), 4))
    return Items(np.rint(np.clip(centres[labels] + noise, -1023, 1023) / grid), labels)


def several_labels(items: Items) -> Items:
    """The same points with up to six labels each, alike for points that are near."""
    directions = np.random.default_rng(SEED).normal(size=(items.points.shape[1], 6))
    return Items(items.points, (items.points @ directions > 400).astype(np.int64))


def untied() -> Data:
    return Data(clusters(SEED))


def tied() -> Data:
    return Data(clusters(SEED, grid=300), remark="with ties")


def labelled() -> Data:
    return Data(several_labels(clusters(SEED)))


def halves() -> Data:
    parts = [Items(*(part[start::2].copy() for part in clusters(SEED))) for start in (0, 1)]
    return Data(*parts, remark="with a gallery")


def squared_distances(data: Data) -> np.ndarray:
    """[query, item]; infinite between an item and itself."""
    others = data.queries if data.gallery is None else data.gallery
    squares = np.square(data.queries.points[:, None] - others.points).sum(axis=2)
    if data.gallery is None:
        np.fill_diagonal(squares, np.inf)
    return squares


def ranking(data: Data, lone: bool = False, similarity: str = "positive") -> Ranking:
    """Each query against all items but itself; similarities are positive, or cosines, or minus distances."""
    items, squares = data.gallery or data.queries, squared_distances(data)
    if data.queries.labels.ndim == 2:
        gains = data.queries.labels @ items.labels.T
    else:
        gains = (data.queries.labels[:, None] == items.labels).astype(np.int64)
    if similarity == "cosine":
        both = data.queries.points, items.points
        queries, points = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in both)
        similarities = queries @ points.T
    else:
        similarities = (ABOVE_ALL if similarity == "positive" else 0) - squares
    rest = np.isfinite(squares)
    similarities, gains = (values[rest].reshape(len(squares), -1) for values in (similarities, gains))
    counted = gains.any(axis=1) | lone
    return Ranking(similarities[counted], gains[counted])


def pairs(items: Items, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two items, and whether they are of one class."""
    drawn = np.random.default_rng(SEED).integers(0, len(items.points), (count, 2))
    drawn = drawn[drawn[:, 0] != drawn[:, 1]]
    return drawn, items.labels[drawn[:, 0]] == items.labels[drawn[:, 1]]


def pair_similarities(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pair is of one class, and minus its distance."""
    drawn, genuine = pairs(data.queries)
    left, right = data.queries.points[drawn.T]
    return genuine, -np.sqrt(np.square(left - right).sum(axis=1))


def nearest_class(data: Data) -> np.ndarray:
    """A class for each query, that of the nearest item: predictions, some of them wrong."""
    return (data.gallery or data.queries).labels[squared_distances(data).argmin(axis=1)]


# Ours


def our_number(metric: str, data: Data, **options: Any) -> float:
    """By Euclidean distance, unless the options say otherwise."""
    points, labels = data.queries
    if metric in VERIFICATION:
        return verify(points, *pairs(data.queries), distance="euclidean").metrics[metric]
    if metric in expression.METRIC_VERSIONS:
        return getattr(expression, metric)(expression.confusion(labels, nearest_class(data), len(SIZES)))
    if data.gallery is not None:
        options = {"gallery": data.gallery.points, "gallery_labels": data.gallery.labels, **options}
    return score(points, labels, metrics=[metric], **{"distance": "euclidean", **options}).metrics[metric]


# Peers; imported where they are used, so that the list of rows needs none of them


def pml(name: str, data: Data, **options: Any) -> float | str:
    """pytorch-metric-learning's calculator with its own search, or the name of its error."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import FaissKMeans

    # Its own default, less a complaint of faiss about few points.
    clusterer = FaissKMeans(niter=20, min_points_per_centroid=1)
    options = {"include": (name,), "device": torch.device("cpu"), "kmeans_func": clusterer, **options}
    given = [torch.from_numpy(array) for items in (data.queries, data.gallery) for array in items or ()]
    try:
        return float(AccuracyCalculator(**options).get_accuracy(*given)[name])
    except TypeError as error:
        return type(error).__name__


def torchmetrics(name: str, data: Data, similarity: str = "positive", **options: Any) -> float:
    """The mean over the queries of a function of torchmetrics, one call a query."""
    from torchmetrics.functional import retrieval

    similarities, gains = ranking(data, similarity=similarity)
    target = gains if name == "retrieval_normalized_dcg" else gains > 0
    rows = zip(torch.from_numpy(similarities).float(), torch.from_numpy(target), strict=True)
    return float(np.mean([float(getattr(retrieval, name)(*row, **options)) for row in rows]))


torchmetrics_negative = partial(torchmetrics, similarity="negative")
torchmetrics_cosine = partial(torchmetrics, similarity="cosine")


def torchmetrics_class(name: str, data: Data, **options: Any) -> float:
    """All queries at once, the lone one too."""
    from torchmetrics import retrieval

    similarities, gains = ranking(data, lone=True)
    query = np.arange(len(gains)).repeat(gains.shape[1])
    given = (similarities.astype(np.float32), gains > 0, query)
    return float(getattr(retrieval, name)(**options)(*(torch.from_numpy(array).flatten() for array in given)))


def torchmetrics_pairs(name: str, data: Data, inside: bool = False) -> float:
    from torchmetrics.functional import classification

    genuine, similarities = (torch.from_numpy(array) for array in pair_similarities(data))
    similarities = 1 + similarities / ABOVE_ALL**0.5 if inside else similarities
    return float(getattr(classification, name)(similarities, genuine.long()))


torchmetrics_inside = partial(torchmetrics_pairs, inside=True)


def ranx(name: str, data: Data, lone: bool = False) -> float:
    """ranx keeps the order that it is given: here items of one distance in the order of the data."""
    from ranx import evaluate

    similarities, gains = ranking(data, lone)
    order, ideal = ((-values).argsort(axis=1, kind="stable") for values in (similarities, gains))
    run, judged = (
        np.stack([place, np.take_along_axis(values, place, axis=1)], axis=2).astype(np.float64)
        for place, values in ((order, similarities), (ideal, gains))
    )
    return float(evaluate(judged, run, name))


ranx_lone = partial(ranx, lone=True)


def sklearn_ranking(name: str, data: Data, lone: bool = False, **options: Any) -> float:
    from sklearn import metrics

    similarities, gains = ranking(data, lone)
    if name == "ndcg_score":
        return float(metrics.ndcg_score(gains, similarities, **options))
    rows = zip(gains > 0, similarities, strict=True)
    return float(np.mean([getattr(metrics, name)(*row, **options) for row in rows]))


sklearn_lone = partial(sklearn_ranking, lone=True)


def sklearn_neighbours(name: str, data: Data, **options: Any) -> float:
    """The labels of a query are true, those of each of its five nearest items predicted."""
    squares, labels = squared_distances(data), data.queries.labels
    counted = ((labels @ labels.T > 0) & np.isfinite(squares)).any(axis=1)
    nearest = squares[counted].argsort(axis=1)[:, :5]
    return _sklearn(name, labels[counted].repeat(5, axis=0), labels[nearest.ravel()], **options)


def sklearn_classifier(name: str, data: Data, **options: Any) -> float:
    from sklearn import neighbors

    model = getattr(neighbors, name)(**options)
    return float(model.fit(*data.gallery).score(*data.queries))


def sklearn_clustering(name: str, data: Data) -> float:
    """The mean over the clusterings that ours is the mean of."""
    from sklearn import metrics

    points, labels = torch.from_numpy(data.queries.points), data.queries.labels
    found = [kmeans(points, len(np.unique(labels)), seed).numpy() for seed in range(CLUSTERINGS)]
    values = [getattr(metrics, name)(labels, clusters) for clusters in found]
    if name == "pair_confusion_matrix":
        values = [2 * right / (2 * right + wrong + missed) for (_, wrong), (missed, right) in values]
    return float(np.mean(values))


def sklearn_predictions(name: str, data: Data, **options: Any) -> float:
    return _sklearn(name, data.queries.labels, nearest_class(data), **options)


def sklearn_pairs(name: str, data: Data) -> float:
    return _sklearn(name, *pair_similarities(data))


def _sklearn(name: str, *given: np.ndarray, **options: Any) -> float:
    from sklearn import metrics

    return float(getattr(metrics, name)(*given, **options))


def shortcut(name: str, data: Data) -> float:
    """R@1 when the query is ranked too, and whatever comes first is taken for it."""
    squares, labels = squared_distances(data), data.queries.labels
    np.fill_diagonal(squares, 0)
    second = labels[squares.argsort(axis=1, kind="stable")[:, 1]]
    several = (labels[:, None] == labels).sum(axis=1) > 1
    return float((second == labels)[several].mean())


PREFIX: dict[Peer, str] = {
    pml: "PML",
    torchmetrics: "torchmetrics",
    torchmetrics_negative: "torchmetrics, given minus distances,",
    torchmetrics_cosine: "torchmetrics, given cosines,",
    torchmetrics_class: "torchmetrics, given the lone query too,",
    torchmetrics_pairs: "torchmetrics, given minus distances,",
    torchmetrics_inside: "torchmetrics, given similarities of 0 to 1,",
    ranx: "ranx",
    ranx_lone: "ranx, given the lone query too,",
    sklearn_ranking: "scikit-learn",
    sklearn_lone: "scikit-learn, given the lone query too,",
    sklearn_neighbours: "scikit-learn",
    sklearn_classifier: "scikit-learn",
    sklearn_clustering: "scikit-learn",
    sklearn_predictions: "scikit-learn",
    sklearn_pairs: "scikit-learn",
    shortcut: "a common shortcut,",
}
