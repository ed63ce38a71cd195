"""What becomes of classes: HIER's ancestors and the sub-classes of gaussian-subspaces."""

from __future__ import annotations

import argparse

import torch
from dmlbench_plugins.backbones.poincare import ball_distance
from jaxtyping import Int
from mechanisms_runs import joined, numbered, started, trained
from torch import Tensor

from dmlbench.data.store import Prepared
from dmlbench.train.loop import Trainer

SPLITTING = ("subclasses.every=1", "subclasses.smallest_class=20", "subclasses.covariance=diagonal")


def ancestors(arguments: argparse.Namespace) -> dict[str, float]:
    trainer, data = trained("hier", arguments)
    with torch.no_grad():
        return _under_ancestors(trainer, data)


def _under_ancestors(trainer: Trainer, data: Prepared) -> dict[str, float]:
    hier = trainer.recipe.terms["hier"].object
    raw, labels = trainer.embed(torch.arange(len(data.train.rows))), data.train.labels
    count = torch.bincount(labels)[:, None]
    means = torch.zeros(len(count), raw.shape[1]).index_add_(0, labels, raw) / count
    reach = ball_distance(hier.placed(means), hier.placed(hier.proxies), hier.curvature)
    of_class = reach.argmin(dim=1)
    superclass = torch.zeros(len(count), dtype=torch.int64)
    superclass[labels] = numbered(data.train.columns["superclass"])
    apart = ~torch.eye(len(count), dtype=torch.bool)
    one_ancestor = (of_class[:, None] == of_class) & apart
    one_superclass = superclass[:, None] == superclass
    found = one_superclass[one_ancestor].float().mean().item()
    chance = one_superclass[apart].float().mean().item()
    return {
        "ancestors": len(of_class.unique()),
        "classes": len(count),
        "pairs_under_one_ancestor": int(one_ancestor.sum()) // 2,
        "of_one_superclass": found,
        "by_chance": chance,
        "ratio": found / chance,
    }


def majority(found: Int[Tensor, " n"], planted: Int[Tensor, " n"]) -> float:
    """The share of images that are of the commonest planted class of their sub-class."""
    table = torch.zeros(int(found.max()) + 1, int(planted.max()) + 1)
    table.index_put_((found, planted), torch.ones(len(found)), accumulate=True)
    return (table.max(dim=1).values.sum() / len(found)).item()


def subclasses(arguments: argparse.Namespace) -> dict[str, float]:
    count = arguments.joined
    changes = (*SPLITTING, f"subclasses.largest={count}")
    _, whole = started("gaussian-subspaces", arguments, changes)
    trainer, data = trained("gaussian-subspaces", arguments, changes, train=lambda part: joined(part, count))
    found, given, planted = trainer.state_dict()["labels"], data.train.labels, whole.train.labels
    generator = torch.Generator().manual_seed(0)
    random = found.clone()
    for label in given.unique():
        members = (given == label).nonzero()[:, 0]
        random[members] = found[members[torch.randperm(len(members), generator=generator)]]
    return {
        "classes": len(given.unique()),
        "sub_classes": len(found.unique()),
        "images_with_their_majority": majority(found, planted),
        "by_chance": majority(random, planted),
        "ratio": majority(found, planted) / majority(random, planted),
    }
