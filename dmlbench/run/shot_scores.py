"""Scores of classes known by few images: what stands in the record, by class, and beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.data.shots import divided, shown
from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import DataError, UsageError
from dmlbench.score import ClassSums
from dmlbench.score.shots import METRIC_VERSIONS, Answer, Judge, class_rows, random_rows
from dmlbench.spec.protocol import Scored, Shots
from dmlbench.spec.run import RunSpec
from dmlbench.train.randomness import generator

_NAME = re.compile(r"accuracy_(?P<group>novel|all)_(?P<number>[1-9][0-9]*)")


Tuned = Mapping[tuple[int, int], Mapping[str, Tensor]]
"""By number of images and draw: embeddings of the side's and of held images, and rows of all classes."""


@dataclass(frozen=True, eq=False)
class BaseImages:
    """Embeddings of base classes' images, and their labels."""

    trained: Float[Tensor, "image dim"]
    trained_labels: Int[Tensor, " image"]
    scored: Float[Tensor, "item dim"]
    scored_labels: Int[Tensor, " item"]


@dataclass(frozen=True, eq=False)
class Base:
    """The base classes, to which novel ones are added."""

    classes: tuple[str, ...]
    rows: Float[Tensor, "class dim"]
    """What stands for each."""
    learnt: bool
    """Whether the method learnt the rows; they are the classes' means otherwise."""
    images: BaseImages | None = None
    """None while training: what is selected by is novel items alone."""
    views: Float[Tensor, "novel_image view dim"] | None = None
    """Of the side that is added, row-aligned with its items: changed views to add classes by."""
    tuned: Tuned = field(default_factory=dict)
    """Where the method trained with the novel classes: what came of it, in place of imprinting."""


def base_of(spec: RunSpec, rules: Shots, train: Part, found: Mapping[str, Tensor], tuned: Tuned) -> Base:
    """The base classes from the embeddings that a run left; `train` is the whole training side."""
    cut = divided(rules, train, f"task {spec.task.id}", novel=False)
    images = BaseImages(found["train"], train.labels[cut.pool], found["held"], train.labels[cut.scored])
    rows = found.get("class_rows")
    means = class_rows(images.trained, images.trained_labels) if rows is None else rows
    return Base(train.classes, means, rows is not None, images, found.get("views"), tuned)


@dataclass(frozen=True, eq=False)
class ShotScores:
    """Accuracies, means over the draws, and what they rest on. It answers as `Scores` does."""

    metrics: dict[str, float]
    metric_versions: dict[str, int]
    queries: int
    beside: dict[str, float]
    """What stands in the record beside the metrics: the controls, and the spread over draws."""
    per_draw: Mapping[str, Float[Tensor, " draw"]] = field(repr=False)
    """`RULE/METRIC`, for the method's own rule and the controls."""
    by_item: Mapping[str, Float[Tensor, " item"]] = field(repr=False)
    """By metric the share of draws in which a scored novel item is right."""
    labels: Int[Tensor, " item"] = field(repr=False)
    """Of the scored novel items."""
    facts: Mapping[str, object] = field(repr=False)
    skipped: int = 0

    def class_sums(self, labels: Int[Tensor, " item"], names: Iterable[str]) -> ClassSums:
        """Scored novel items, and their right answers, by class; the side's own `labels` are not asked."""
        classes, index = torch.unique(self.labels, return_inverse=True)
        counts = torch.bincount(index, minlength=len(classes))
        sums = {
            name: torch.zeros(len(classes), dtype=torch.float64).index_add_(0, index, self.by_item[name])
            for name in names
            if name in self.by_item
        }
        return ClassSums(classes, counts, sums)

    def said(self) -> dict[str, object]:
        """What stands beside the scores: how many of what; mean and spread over the draws, rule by rule."""
        rules: dict[str, dict[str, dict[str, float]]] = {}
        for name, values in self.per_draw.items():
            rule, _, metric = name.partition("/")
            spread = {"std": _std(values)} if len(values) > 1 else {}
            rules.setdefault(rule, {})[metric] = {"mean": float(values.mean()), **spread}
        return {**self.facts, "rules": rules}


def shot_scores(
    spec: RunSpec,
    rules: Shots,
    side: Scored,
    part: Part | TestLabels,
    embeddings: Float[Tensor, "item dim"],
    metrics: Sequence[str],
    base: Base,
) -> ShotScores:
    """The classes of `part` added to the base from few images each; `embeddings` are row-aligned with it.

    Without images of base classes only the metrics of novel items are there, and no control. A number of
    images that a class has not is left out.

    Raises `DataError` when a novel class is a base class, or the primary metric asks for too many images;
    `UsageError` for a metric that is of nothing like this.
    """
    place = f"task {spec.task.id}, {side} side"
    if both := sorted(set(base.classes) & set(part.classes)):
        raise DataError(
            f"class {both[0]!r} trains and is to be new ({len(both)} classes do so)",
            place=place,
            way_out="a task whose classes are split",
        )
    cut = divided(rules, part, place, novel=True)
    few = shown(rules, part, cut.pool, place)
    wanted = {name: _read(name) for name in metrics}
    numbers = sorted({number for _, number in wanted.values()} & set(few.numbers))
    primary = spec.protocol.primary
    if primary in wanted and wanted[primary][1] not in numbers:
        raise DataError(f"no {primary} here: a class has too few images to learn from", place=place)
    labels = part.labels[cut.scored]
    judge = _judge(base, embeddings[cut.scored], labels)

    images = few.places[: rules.tuned_draws] if base.tuned else few.places
    per_draw: dict[str, list[float]] = {}
    by_item: dict[str, Tensor] = {}
    for rule, number, answer in _answers(rules, judge, images, numbers, embeddings, base, cut.scored):
        for group, values in judge.grouped(answer).items():
            per_draw.setdefault(f"{rule}/accuracy_{group}_{number}", []).append(float(values.mean()))
            if (rule, group) == ("own", "novel"):
                name = f"accuracy_novel_{number}"
                by_item[name] = by_item.get(name, 0) + values / len(images)
    drawn = {name: torch.tensor(values, dtype=torch.float64) for name, values in per_draw.items()}
    known = {name: f"own/{name}" for name in metrics if f"own/{name}" in drawn}
    return ShotScores(
        metrics={name: float(drawn[own].mean()) for name, own in known.items()},
        metric_versions={name: METRIC_VERSIONS[f"accuracy_{wanted[name][0]}_N"] for name in known},
        queries=judge.items,
        beside=_beside(drawn, numbers[0]) if base.images else {},
        per_draw=drawn,
        by_item=by_item,
        labels=labels,
        facts={
            "classes": {"base": len(base.classes), "novel": len(part.classes)},
            "scored": {"base": judge.items - len(labels), "novel": len(labels)},
            "numbers": numbers,
            "left_out": sorted({number for _, number in wanted.values()} - set(numbers)),
            "draws": len(images),
            "rows": "learnt" if base.learnt else "class means",
        },
    )


def _judge(base: Base, items: Float[Tensor, "item dim"], labels: Int[Tensor, " item"]) -> Judge:
    """Of novel items, and of those of base classes where they are known; base classes are numbered first."""
    own, images = labels + len(base.classes), base.images
    if images is None:
        return Judge(base.rows, items, own)
    items, own = torch.cat([images.scored, items]), torch.cat([images.scored_labels, own])
    return Judge(base.rows, items, own, (images.trained, images.trained_labels))


def _answers(
    rules: Shots,
    judge: Judge,
    shown: Int[Tensor, "draw class shot"],
    numbers: Sequence[int],
    embeddings: Float[Tensor, "image dim"],
    base: Base,
    scored: Int[Tensor, " item"],
) -> Iterator[tuple[str, int, Answer]]:
    """(rule, number of images, answer), draw after draw: the method's own rule, then the controls."""
    for draw, places in enumerate(shown):
        plain = embeddings[places]
        seen = plain[:, :, None] if base.views is None else base.views[places]
        found = {"own": judge.by_imprinting(seen, numbers)}
        if base.tuned:
            found["imprinted"] = found["own"]
            found["own"] = {n: _of_tuned(judge, base, base.tuned[n, draw], scored) for n in numbers}
        if base.images is not None:
            found["nearest"] = judge.by_nearest(plain, numbers)
            new = random_rows(len(places), plain.shape[2], generator(rules.seed, "shots", step=draw))
            found["random"] = {numbers[0]: judge.by_rows(new)}  # whatever the number
        for rule, answers in found.items():
            for number, answer in answers.items():
                yield rule, number, answer


def _of_tuned(judge: Judge, base: Base, found: Mapping[str, Tensor], scored: Int[Tensor, " item"]) -> Answer:
    """By another network than that of the judge: of its rows the base classes' come first."""
    items = torch.cat([found["held"], found["embeddings"][scored]])
    count = len(base.classes)
    return Judge(found["class_rows"][:count], items, judge.own).by_rows(found["class_rows"][count:])


def _beside(drawn: Mapping[str, Float[Tensor, " draw"]], number: int) -> dict[str, float]:
    """The controls with the fewest images, and how far the draws are apart there."""
    names = [f"accuracy_{group}_{number}" for group in ("novel", "all")]
    controls = {
        f"{rule}/{name}": float(drawn[f"{rule}/{name}"].mean())
        for rule in ("imprinted", "nearest", "random")
        for name in names
        if f"{rule}/{name}" in drawn
    }
    own = drawn[f"own/{names[0]}"]
    return {**controls, **({f"{names[0]}_draw_std": _std(own)} if len(own) > 1 else {})}


def _read(name: str) -> tuple[str, int]:
    """(novel or all, number of images) of a metric's name."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(
            f"no metric of few images named {name!r}", way_out="accuracy_novel_N or accuracy_all_N, N from 1"
        )
    return found["group"], int(found["number"])


def _std(values: Float[Tensor, " draw"]) -> float:
    return float(values.std(correction=1))
