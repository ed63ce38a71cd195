"""What methods claim to do inside, as numbers on prepared tasks; no component is shown more than usual.

ancestors    HIER: two training classes that have one ancestor, the learned proxy nearest to their mean,
             are of one superclass (an alphabet, a group of emoji) how many times as often as any two?
sub-classes  gaussian-subspaces: training classes are joined by twos, and the sub-classes that it finds
             compared with what was joined: the share of images in the majority of their sub-class, beside
             that of sub-classes of the same sizes at random.

Prints JSON. Data are those of `dmlbench data prepare TASK`.

    python benchmarks/mechanisms.py ancestors|sub-classes [--task omniglot] [--images 40000] [--seed 0]
"""

from __future__ import annotations

import argparse
import dataclasses
import json

import torch
from dmlbench_plugins.backbones.poincare import ball_distance
from jaxtyping import Int
from torch import Tensor

from dmlbench.data.store import Prepared
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.home import ready
from dmlbench.run.planner import plan
from dmlbench.train.loop import Trainer

SPLITTING = (
    "subclasses.every=2",
    "subclasses.largest=2",
    "subclasses.smallest_class=20",
    "subclasses.covariance=diagonal",
)


def trained(
    method: str, arguments: argparse.Namespace, changes: tuple[str, ...] = (), *, joined: bool = False
) -> tuple[Trainer, Prepared]:
    """`method` after so many images. `joined`: two neighbouring classes are one."""
    (planned,) = plan([method], task=arguments.task, profile="quick", seeds=[arguments.seed], changes=changes)
    data = ready(planned.spec.task, planned.spec.track.images)
    if joined:
        train = data.train
        names = tuple(" + ".join(train.classes[c : c + 2]) for c in range(0, len(train.classes), 2))
        # In the place of what the cached property has read.
        vars(data)["train"] = dataclasses.replace(train, labels=train.labels // 2, classes=names)
    trainer = build_trainer(planned.spec, build_recipe(planned.spec, data.train), data)
    while trainer.images_seen < arguments.images and not trainer.done:
        trainer.step()
    return trainer, data


def numbered(names: list[str]) -> Int[Tensor, " n"]:
    known = {name: number for number, name in enumerate(sorted(set(names)))}
    return torch.tensor([known[name] for name in names])


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
    planted = ready(*_task(arguments)).train.labels
    trainer, data = trained("gaussian-subspaces", arguments, SPLITTING, joined=True)
    found, joined = trainer.state_dict()["labels"], data.train.labels
    generator = torch.Generator().manual_seed(0)
    random = found.clone()
    for label in joined.unique():
        members = (joined == label).nonzero()[:, 0]
        random[members] = found[members[torch.randperm(len(members), generator=generator)]]
    return {
        "classes": len(joined.unique()),
        "sub_classes": len(found.unique()),
        "images_with_their_majority": majority(found, planted),
        "by_chance": majority(random, planted),
    }


def _task(arguments: argparse.Namespace) -> tuple:
    (planned,) = plan(["gaussian-subspaces"], task=arguments.task, profile="quick", seeds=[arguments.seed])
    return planned.spec.task, planned.spec.track.images


if __name__ == "__main__":
    measures = {"ancestors": ancestors, "sub-classes": subclasses}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=measures)
    parser.add_argument("--task", default="omniglot")
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = {"mechanism": given.what, "task": given.task, "images": given.images, "seed": given.seed}
    print(json.dumps({**asked, **measures[given.what](given)}, indent=1))
