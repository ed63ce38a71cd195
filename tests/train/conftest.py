"""Toy pictures and recipes: the real loop on tasks of a few hundred small images."""

import sys
import types
from decimal import Decimal

import pytest
import torch

from dmlbench.registry import descriptors
from dmlbench.registry.registry import registry
from dmlbench.registry.report import Entry
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method, Term
from dmlbench.spec.track import Augmentation, ImagePipeline, Optimiser, Track
from dmlbench.train.images import TrainingImages
from dmlbench.train.loop import Trainer
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe

CLASSES, PER_CLASS, SIZE, BATCH = 6, 10, 16, 16
_PLUGINS = {
    "loss": descriptors.LossPlugin,
    "sampler": descriptors.SamplerPlugin,
    "miner": descriptors.MinerPlugin,
    "augmenter": descriptors.AugmenterPlugin,
    "backbone": descriptors.BackbonePlugin,
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def offer():
    """Offer a class or function as a component: `offer("loss", f)` returns its id."""
    module = types.ModuleType("components_made_by_a_test")
    sys.modules[module.__name__] = module
    entries = registry().entries
    before = len(entries)

    def add(kind, target, **descriptor):
        name = f"test-{len(entries)}"
        setattr(module, target.__name__, target)
        plugin = _PLUGINS[kind](id=name, target=f"{module.__name__}:{target.__name__}", **descriptor)
        entries.append(Entry(plugin, "test", "0"))
        return f"test:{name}"

    yield add
    del entries[before:]
    del sys.modules[module.__name__]


@pytest.fixture
def track():
    still = Augmentation(
        rotation_degrees=10,
        scale=(Decimal("0.9"), Decimal("1.1")),
        shift=Decimal("0.05"),
        flip=0,
        brightness=0,
        contrast=0,
        saturation=0,
    )
    return Track(
        id="toy",
        summary="toy",
        backbone=Component(component="dmlbench:conv4", settings={"width": 4}),
        head=Component(component="dmlbench:linear"),
        dimension=8,
        images=ImagePipeline(size=SIZE, channels=1, mean=1, std=Decimal("0.5"), augmentation=still),
        pretraining="none",
        batch_size=BATCH,
        sampler=Component(component="dmlbench:pk", settings={"per_class": 4}),
        optimiser=Optimiser(
            name="adamw", rate=Decimal("0.002"), weight_decay=Decimal("0.0005"), schedule="cosine"
        ),
        batchnorm="train",
        budget={"smoke": 320, "quick": 640, "ranked": 960},
    )


@pytest.fixture
def store():
    """uint8 pictures whose classes can be told apart: [items, side, side, 1]."""
    generator = torch.Generator().manual_seed(5)
    prototypes = torch.randint(0, 256, (CLASSES, SIZE, SIZE, 1), generator=generator)
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    noise = torch.randint(-60, 60, (len(labels), SIZE, SIZE, 1), generator=generator)
    return (prototypes[labels] + noise).clamp(0, 255).to(torch.uint8), labels


@pytest.fixture
def make(track, store):
    """`make(method)` is a trainer at its start; `columns` are further columns of the data, `relevance` its
    labels in place of classes, `made(labels)` those that take the place of the images' own."""

    def trainer(
        method, *, seed=0, budget=None, columns=None, on=track, extra_forwards=1, relevance=None, made=None
    ):
        images, labels = store
        known = {"num_classes": CLASSES, "class_counts": torch.bincount(labels)}
        if relevance is not None:
            labels = relevance
            known = {"num_labels": labels.shape[1], "label_counts": labels.sum(dim=0)}
        facts = {
            **known,
            "num_samples": len(labels),
            "steps": (budget or 320) // BATCH,
            "epoch_steps": len(labels) // BATCH,
            "batch_size": BATCH,
        }
        numerics = Numerics("cpu-fp32")
        recipe = Recipe(method, on, facts, set(columns or {}), numerics, seed)
        rows = torch.arange(len(labels))
        training = TrainingImages(images, rows, labels, columns or {}, on.images, numerics.device)
        return Trainer(
            recipe,
            training,
            on,
            seed=seed,
            budget=budget or 320,
            extra_forwards=extra_forwards,
            labels=made(labels) if made else None,
        )

    return trainer


@pytest.fixture
def method():
    """`method(loss="dmlbench:contrastive", …)`: a recipe of one term unless `terms` are given."""

    def build(loss="dmlbench:contrastive", *, settings=None, terms=None, **fields):
        terms = terms or {"loss": Term(component=loss, settings=settings or {})}
        return Method(id="toy", summary="toy", fidelity="reconstruction", terms=terms, **fields)

    return build


@pytest.fixture
def weights():
    """The trunk's and heads' parameters as one vector."""
    return lambda trainer: torch.cat([p.detach().flatten() for p in trainer.recipe.model.parameters()])
