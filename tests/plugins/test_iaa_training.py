"""Intra-class adaptive augmentation in the training loop."""

import math

import pytest
import torch

from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term
from dmlbench.train.images import TrainingImages
from dmlbench.train.loop import Trainer
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe

from ..train.conftest import CLASSES, PER_CLASS, SIZE
from ..train.helpers import saved, train
from .test_augmenters_iaa import IAA, REAL_AGAINST_ALL, spearman


@pytest.fixture
def uneven(store):
    """Pictures whose classes vary more, the higher their number."""
    images, labels = store
    generator = torch.Generator().manual_seed(9)
    clear = images.view(CLASSES, PER_CLASS, SIZE, SIZE, 1).float().mean(dim=1)
    noise = torch.randn(len(labels), SIZE, SIZE, 1, generator=generator)
    level = 5.0 + 22.0 * labels[:, None, None, None]
    return (clear[labels] + level * noise).clamp(0, 255).to(torch.uint8), labels


def recipe(method, component="iaa", flags=REAL_AGAINST_ALL, **options):
    augmenter = Augmenter(component=f"dmlbench:{component}", settings={**IAA, **options})
    terms = {"loss": Term(component="dmlbench:multi-similarity", **flags)}
    return method(terms=terms, augmenters={"iaa": augmenter})


def test_classes_that_vary_more_have_larger_variances_after_training(method, track, uneven):
    images, labels = uneven
    facts = {
        "num_classes": CLASSES,
        "class_counts": torch.bincount(labels),
        "num_samples": len(labels),
        "steps": 20,
        "epoch_steps": 3,
        "batch_size": 16,
    }
    numerics = Numerics("cpu-fp32")
    built = Recipe(recipe(method), track, facts, set(), numerics, 0)
    training = TrainingImages(images, torch.arange(60), labels, {}, track.images, numerics.device)
    trainer = Trainer(built, training, track, seed=0, budget=320, extra_forwards=2)
    train(trainer)
    found = built.augmenters["iaa"].module.variance.sum(dim=1)
    assert spearman(found, torch.arange(CLASSES)) > 0.9


@pytest.mark.parametrize("component", ["iaa", "iaa-released"])
def test_no_copies_are_the_plain_loss_bit_for_bit(component, make, method, weights):
    plain = make(method("dmlbench:multi-similarity"))
    without = make(recipe(method, component, copies=0))
    for base, other in zip(train(plain, 7), train(without, 7), strict=True):
        assert base["loss"] == other["loss"]
    assert torch.equal(weights(plain), weights(without))
    assert without.extra_forwards == 0


@pytest.mark.parametrize("component", ["iaa", "iaa-released"])
def test_before_the_warm_up_ends_the_loss_is_plain_bit_for_bit(component, make, method):
    plain = train(make(method("dmlbench:multi-similarity")))
    late = train(make(recipe(method, component, warm_up=0.5)))
    same = [a["loss"] == b["loss"] for a, b in zip(plain, late, strict=True)]
    first = same.index(False)
    assert first == 12  # of 20 steps, three to an epoch
    assert not any(same[first:])


@pytest.mark.parametrize("component", ["iaa", "iaa-released"])
@pytest.mark.parametrize("cut", [2, 3, 4, 7, 9])
def test_a_run_cut_anywhere_resumes_to_the_same_bits(component, cut, make, method, weights):
    told = recipe(method, component, warm_up=0.2, every=2)  # estimates at steps 6 and 12
    whole, first, resumed = (make(told) for _ in range(3))
    logs = train(whole, 14)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    assert train(resumed, 14 - cut) == logs[cut:]
    assert torch.equal(weights(whole), weights(resumed))
    for name, value in whole.recipe.augmenters["iaa"].module.state_dict().items():
        assert torch.equal(value, resumed.recipe.augmenters["iaa"].module.state_dict()[name])


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "proxy-nca", "supcon"])
def test_it_serves_any_loss(loss, make, method):
    flags = {} if loss == "proxy-nca" else dict(REAL_AGAINST_ALL)
    miners = {"semihard": Component(component="dmlbench:semihard")} if loss == "triplet" else {}
    term = Term(component=f"dmlbench:{loss}", miner="semihard" if miners else None, **flags)
    augmenters = {"iaa": Augmenter(component="dmlbench:iaa", settings=IAA)}
    plain = method(terms={"loss": Term(component=f"dmlbench:{loss}", miner=term.miner)}, miners=miners)
    with_copies = method(terms={"loss": term}, miners=miners, augmenters=augmenters)
    ours, theirs = (train(make(r, budget=160), 3) for r in (with_copies, plain))
    assert ours[0]["loss"] != theirs[0]["loss"]
    assert all(math.isfinite(log["loss"]) for log in ours)


@pytest.mark.parametrize("cut", [3, 5, 8])
def test_it_stands_inside_alternating_projections(cut, make, method, weights):
    terms = {
        "loss": Term(component="dmlbench:contrastive", **REAL_AGAINST_ALL),
        "proximal": Term(component="dmlbench:proximal", settings={"strength": 0.1}),
    }
    sampler = {"per_class": 4, "lifetime": 4, "hard": 0.5}
    told = method(
        terms=terms,
        sampler=Component(component="dmlbench:pinned-representatives", settings=sampler),
        augmenters={"iaa": Augmenter(component="dmlbench:iaa", settings=IAA)},
    )
    whole, first, resumed = (make(told, extra_forwards=2) for _ in range(3))
    logs = train(whole, 12)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    assert train(resumed, 12 - cut) == logs[cut:]
    assert torch.equal(weights(whole), weights(resumed))
