"""What augmenters make: IAA's variances, the copies of DAS, the triplets of two-stage generation."""

from __future__ import annotations

import argparse

import torch
from dmlbench_plugins.augmenters.class_gaussians import class_gaussians
from dmlbench_plugins.augmenters.two_stage_generation import distance
from dmlbench_plugins.miners.random_triplets import random_triplets
from jaxtyping import Float, Int
from mechanisms_runs import halves, pipeline_of, started, trained
from torch import Tensor
from torch.nn import functional

from dmlbench.train.embedding import embed_training_images
from dmlbench.train.images import TrainingImages
from dmlbench.train.loop import Trainer
from dmlbench.train.scope import Scope

NEAR, IMAGES, PER_ANCHOR = 10, 1024, 8


def variances(arguments: argparse.Namespace) -> dict[str, float]:
    """Half of each class trains; its variances, and the corrected ones, against those of the other half."""
    trainer, _ = trained("iaa", arguments, train=lambda part: halves(part)[0])
    _, whole = started("iaa", arguments)
    held, own = halves(whole.train)[1], trainer.images
    classes = len(held.classes)
    found = class_gaussians(trainer.embed(torch.arange(len(own.labels))), own.labels, classes)
    pipeline = pipeline_of(arguments)
    others = TrainingImages(whole.images, held.rows, held.labels, {}, pipeline, trainer.recipe.device)
    raw = embed_training_images(trainer.recipe, others, torch.arange(len(held.rows)))
    truth = class_gaussians(raw, held.labels, classes).variance
    corrected = trainer.recipe.augmenters["iaa"].object.corrected(found)
    return {
        "classes": classes,
        "images_a_class": len(own.labels) / classes,
        "rank_correlation_of_classes": spearman(corrected.sum(dim=1), truth.sum(dim=1)),
        "the_same_uncorrected": spearman(found.variance.sum(dim=1), truth.sum(dim=1)),
        "rank_correlation_of_channels": spearman(corrected.flatten(), truth.flatten()),
        "channels_uncorrected": spearman(found.variance.flatten(), truth.flatten()),
    }


def spearman(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float:
    ranks = torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double()
    return torch.corrcoef(ranks)[0, 1].item()


def copies(arguments: argparse.Namespace) -> dict[str, float]:
    """Whose neighbours the copies have, and of which class the nearest image is."""
    trainer, data = trained("das", arguments)
    labels = data.train.labels
    unit = functional.normalize(trainer.embed(torch.arange(len(labels))), dim=1)
    chosen = torch.randperm(len(unit), generator=seeded())[:IMAGES]
    component = trainer.recipe.augmenters["das"].object
    made = component(unit[chosen], labels[chosen], seeded())
    source = chosen[made.source]

    def nearest(rows: Float[Tensor, "n dim"]) -> Int[Tensor, "n near"]:
        """The nearest images but for the one that a row is of."""
        return (rows @ unit.T).scatter(1, source[:, None], -2.0).topk(NEAR).indices

    of_copies, of_anchors = nearest(made.rows), nearest(unit[source])
    shared = (of_copies[:, :, None] == of_anchors[:, None]).any(dim=2).float().mean().item()
    return {
        "neighbours_shared_with_the_anchor": shared,
        "by_chance": NEAR / len(unit),
        "nearest_image_is_of_the_class": right(labels[of_copies[:, 0]], labels[source]),
        "the_same_for_anchors": right(labels[of_anchors[:, 0]], labels[source]),
    }


def triplets(arguments: argparse.Namespace) -> dict[str, float]:
    """Distances in real and made triplets, and how many of the made a classifier finds in their class: the
    nearest mean of features of images that are in no triplet."""
    trainer, data = trained("two-stage-generation", arguments)
    labels, model = data.train.labels, trainer.recipe.model.eval()
    others, chosen = (torch.searchsorted(data.train.rows, part.rows) for part in halves(data.train))
    chosen = chosen[torch.randperm(len(chosen), generator=seeded())[:IMAGES]]
    with torch.no_grad():
        features = features_of(trainer, torch.arange(len(labels)))
        means = class_gaussians(features[others], labels[others], len(data.train.classes)).mean
        y, own = features[chosen], labels[chosen]
        z = functional.normalize(model.embed(y, "main"), dim=1)
        same = own[:, None] == own
        apart = same & ~torch.eye(len(own), dtype=torch.bool)
        mined = random_triplets(apart, ~same, seeded(), per_anchor=PER_ANCHOR).indices
        component = trainer.recipe.augmenters["generator"].object
        out = component.generate(z, y, own, mined)
        made = [out.anchors, out.positives, out.negatives]
        real = z[mined]
        embedded = [functional.normalize(model.embed(part, "main"), dim=1) for part in made]
        seen = [torch.cdist(part, means).argmin(dim=1) for part in (y[mined[1]], y[mined[2]], *made[1:])]
    return {
        "gamma": component.gamma.item(),
        "positives_real": distance(real[0], real[1]).mean().item(),
        "positives_made": distance(embedded[0], embedded[1]).mean().item(),
        "negatives_real": distance(real[0], real[2]).mean().item(),
        "negatives_made": distance(embedded[0], embedded[2]).mean().item(),
        "real_in_their_class": (right(seen[0], own[mined[1]]) + right(seen[1], own[mined[2]])) / 2,
        "made_positives_in_their_class": right(seen[2], own[mined[1]]),
        "made_negatives_in_their_class": right(seen[3], own[mined[2]]),
    }


def features_of(trainer: Trainer, indices: Int[Tensor, " n"]) -> Float[Tensor, "n feature_dim"]:
    images = trainer.images
    return torch.cat(
        [
            trainer.recipe.model.features(Scope(values={"images": images.plain(part)}))[0]
            for part in indices.split(256)
        ]
    )


def right(found: Int[Tensor, " n"], wanted: Int[Tensor, " n"]) -> float:
    return (found == wanted).float().mean().item()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
