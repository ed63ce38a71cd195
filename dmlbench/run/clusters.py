"""Where labels are hidden: the clusters that stand in their place."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from dmlbench.data.store import Part, Prepared
from dmlbench.files import replacing
from dmlbench.run.directory import RunDirectory
from dmlbench.run.pictures import small_pictures
from dmlbench.score.clustering import ami, kmeans, nmi
from dmlbench.spec.run import RunSpec
from dmlbench.train.pseudo_labels import PseudoLabels
from dmlbench.train.randomness import derive, generator
from dmlbench.train.recipe import Recipe

_HIDDEN = "hidden"
_FEWEST = 2
"""A class of one image has no pair: the least where a sampler says nothing of images of a class."""


def hidden(spec: RunSpec, data: Prepared) -> tuple[Part, Part]:
    """Training and validation items as the run's components may know them: clusters of pictures, and nothing.

    Beside classes, several labels of an item, columns and paths are left out, which may tell them, and so may
    the order of the training items, class by class in many data sets: they are shuffled.
    """
    train = _shuffled(data.train, generator(spec.seed, "clusters", "order"))
    pictures = small_pictures(data, train)
    points = functional.normalize(pictures - pictures.mean(dim=0), dim=1)
    return _told(train, _clusters(spec, points, len(train.classes), 0)), _hide(data.validation)


def dealt(spec: RunSpec, data: Prepared) -> Part:
    """Training items with labels that say nothing, for looking at recipes before there are clusters."""
    train = _shuffled(data.train, generator(spec.seed, "clusters", "order"))
    return _told(train, torch.arange(len(train.rows)) % len(train.classes))


def pseudo_labels(spec: RunSpec, recipe: Recipe, first: Int[Tensor, " n"]) -> PseudoLabels:
    """The labels of a run that starts with the clusters `first`."""
    rules = spec.protocol.pseudo_labels
    assert rules is not None
    classes = recipe.facts["num_classes"]
    return PseudoLabels(
        first,
        classes,
        lambda points, number: _clusters(spec, points, classes, number),
        every=rules.every,
        least=recipe.sampler.settings.get("per_class", _FEWEST),
    )


def save_clusterings(labels: PseudoLabels, directory: RunDirectory) -> None:
    """Keep each clustering for the scorer."""
    images, clusters = zip(*labels.history, strict=True)
    found = {"images": torch.tensor(images), "clusters": torch.stack(clusters).to(torch.int32)}
    with replacing(directory.clusterings) as temporary:
        save_file(found, temporary)


def cluster_scores(
    directory: RunDirectory, trained: Part, truth: Part
) -> tuple[dict[str, float], list[tuple[int, float]]]:
    """NMI and AMI of the first and the last clustering against the true labels, and each one's NMI.

    `trained` are the items as they were trained on, `truth` the same ones with their labels.
    """
    by_row = torch.full((int(truth.rows.max()) + 1,), -1, dtype=torch.int64)
    by_row[truth.rows] = truth.labels
    labels = by_row[trained.rows]
    found = load_file(directory.clusterings)
    clusterings = found["clusters"].long()
    metrics = {
        f"{name}/{when}": measure(labels, clusterings[place])
        for name, measure in (("pseudo_nmi", nmi), ("pseudo_ami", ami))
        for when, place in (("first", 0), ("last", -1))
    }
    values = [nmi(labels, clusters) for clusters in clusterings]
    return metrics, list(zip(found["images"].tolist(), values, strict=True))


def _clusters(spec: RunSpec, points: Float[Tensor, "n dim"], clusters: int, number: int) -> Int[Tensor, " n"]:
    rules = spec.protocol.pseudo_labels
    assert rules is not None
    seed = derive(spec.seed, "clusters", step=number) % 2**31
    return kmeans(points, clusters, seed, rules.iterations)


def _shuffled(part: Part, generator: torch.Generator) -> Part:
    order = torch.randperm(len(part.rows), generator=generator)
    return replace(_bare(part), rows=part.rows[order], labels=part.labels[order])


def _told(part: Part, labels: Int[Tensor, " n"]) -> Part:
    names = tuple(f"cluster-{number}" for number in range(len(part.classes)))
    return replace(part, labels=labels, classes=names)


def _hide(part: Part) -> Part:
    return replace(_bare(part), labels=torch.zeros_like(part.labels), classes=(_HIDDEN,))


def _bare(part: Part) -> Part:
    """Without anything beside the pictures and their classes."""
    return replace(part, columns={}, paths=(), relevance=None, label_names=())
