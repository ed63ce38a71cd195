"""Wrong labels on purpose, for protocols with label noise: core's work, before anybody sees a label."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.data.store import Part
from dmlbench.errors import DataError
from dmlbench.spec.noise import Noise

CLUSTER_SIDE = 16
"""Pixels of a picture's side when small clusters are looked for."""


def corrupt(
    noise: Noise,
    part: Part,
    generator: torch.Generator,
    *,
    small_pictures: Callable[[], Float[Tensor, "item pixels"]],
    listed: Mapping[str, int] | None = None,
) -> Part:
    """`part` with wrong labels by the rule of `noise`, drawn from `generator`.

    `small_pictures` gives each item's picture at 16 x 16 pixels. `listed` are the labels of a published list
    by path. Classes that a rule dissolves are left out and the others numbered
    anew, in the same order.

    Raises `DataError` when the rule finds too little to work on, or a listed label is out of range.
    """
    if noise.rule == "list":
        return _from_list(part, listed or {})
    rate = noise.rate or Decimal(0)
    if noise.rule == "symmetric":
        return _symmetric(part, rate, generator)
    if noise.rule == "superclass":
        return _within_superclass(part, rate, generator)
    return _small_clusters(part, rate, generator, small_pictures())


def truly_labelled(clean: Part, given: Part) -> Tensor:
    """Bool per item: whether the label given to it is that of its own class, by the class's name."""
    name_of = {name: label for label, name in enumerate(clean.classes)}
    known_as = torch.tensor([name_of[name] for name in given.classes], dtype=torch.int64)
    return known_as[given.labels] == clean.labels


def _symmetric(part: Part, rate: Decimal, generator: torch.Generator) -> Part:
    classes = len(part.classes)
    if classes < 2:
        raise DataError("there is no other class to take a wrong label from", place="label noise")
    chosen = _chosen(torch.arange(len(part.labels)), round(rate * len(part.labels)), generator)
    labels = part.labels.clone()
    shift = torch.randint(1, classes, (len(chosen),), generator=generator)
    labels[chosen] = (labels[chosen] + shift) % classes
    return replace(part, labels=labels)


def _within_superclass(part: Part, rate: Decimal, generator: torch.Generator) -> Part:
    superclass = _superclass_of_class(part)
    # Classes in order of superclass: the classes of one lie side by side.
    order = superclass.argsort(stable=True)
    place = order.argsort()
    size = torch.bincount(superclass)
    start = size.cumsum(0) - size
    movable = (size[superclass[part.labels]] > 1).nonzero().flatten()
    wanted = round(rate * len(part.labels))
    if wanted > len(movable):
        raise DataError(
            f"{wanted} images are to get another class of their superclass, {len(movable)} have one",
            place="label noise",
            way_out="a smaller rate, or symmetric noise",
        )
    chosen = _chosen(movable, wanted, generator)
    own = part.labels[chosen]
    among = size[superclass[own]]
    shift = 1 + (torch.rand(len(chosen), generator=generator, dtype=torch.float64) * (among - 1)).long()
    first = start[superclass[own]]
    labels = part.labels.clone()
    labels[chosen] = order[first + (place[own] - first + shift) % among]
    return replace(part, labels=labels)


def _small_clusters(
    part: Part, rate: Decimal, generator: torch.Generator, pictures: Float[Tensor, "item pixels"]
) -> Part:
    counts = torch.bincount(part.labels, minlength=len(part.classes))
    order = torch.randperm(len(counts), generator=generator)
    before = counts[order].cumsum(0) - counts[order]
    dissolved = order[before < float(rate) * len(part.labels)]
    left = torch.ones(len(counts), dtype=torch.bool)
    left[dissolved] = False
    if not bool(left.any()):
        raise DataError(
            "no class is left to take the clusters", place="label noise", way_out="a smaller rate"
        )
    remaining = left.nonzero().flatten()
    number = left.long().cumsum(0) - 1
    labels = torch.where(left[part.labels], number[part.labels], -1)
    for label in dissolved.tolist():
        items = (part.labels == label).nonzero().flatten()
        cluster = _k_means(pictures[items], max(1, round(len(items) / 2)), generator)
        joins = torch.randint(len(remaining), (int(cluster.max()) + 1,), generator=generator)
        labels[items] = joins[cluster]
    return replace(part, labels=labels, classes=tuple(part.classes[label] for label in remaining.tolist()))


def _k_means(
    points: Float[Tensor, "item dim"], clusters: int, generator: torch.Generator
) -> Int[Tensor, " item"]:
    """The cluster of each point, by SciPy, from a seed that the generator gives."""
    from scipy.cluster.vq import kmeans2

    seed = int(torch.randint(2**31, (), generator=generator))
    clusters = min(clusters, len(torch.unique(points, dim=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster is no cluster
        _, found = kmeans2(points.double().numpy(), clusters, minit="++", seed=seed, missing="warn")
    return torch.unique(torch.as_tensor(found, dtype=torch.int64), return_inverse=True)[1]


def _from_list(part: Part, listed: Mapping[str, int]) -> Part:
    """Labels of the list, numbered from 0 or 1; a number is called after the class it mostly stands for."""
    given = torch.tensor([listed[path] for path in part.paths], dtype=torch.int64)
    first, most = min(int(given.min()), 1), int(given.max())
    classes = len(part.classes)
    if first < 0 or most - first >= classes:
        wrong = first if first < 0 else most
        path = next(path for path in part.paths if listed[path] == wrong)
        raise DataError(
            f"label {wrong} of {path} is no training class: labels are {max(first, 0)} to "
            f"{max(first, 0) + classes - 1}",
            place="label noise",
            way_out="mend the list (published ones are known to be one off here and there)",
        )
    labels = torch.unique(given, return_inverse=True)[1]
    votes = torch.zeros(int(labels.max()) + 1, classes, dtype=torch.int64)
    votes.index_put_((labels, part.labels), torch.ones_like(labels), accumulate=True)
    stands_for = votes.argmax(dim=1).tolist()
    if len(set(stands_for)) < len(stands_for):
        raise DataError(
            "two labels of the noise list mostly stand for one class",
            place="label noise",
            way_out="another list",
        )
    return replace(part, labels=labels, classes=tuple(part.classes[label] for label in stands_for))


def _chosen(among: Int[Tensor, " n"], count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
    return among[torch.randperm(len(among), generator=generator)[:count]]


def _superclass_of_class(part: Part) -> Int[Tensor, " class"]:
    if "superclass" not in part.columns:
        raise DataError(
            "the data set has no superclasses",
            place="label noise",
            way_out="symmetric noise, or a task whose data set has them",
        )
    names = sorted({str(name) for name in part.columns["superclass"]})
    number = {name: i for i, name in enumerate(names)}
    found = torch.full((len(part.classes),), -1, dtype=torch.int64)
    for label, name in zip(part.labels.tolist(), part.columns["superclass"], strict=True):
        found[label] = number[str(name)]
    return found
