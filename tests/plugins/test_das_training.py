"""Densely-anchored sampling in the real loop: strength zero, resumption, memory, where its copies fall."""

import pytest
import torch
from dmlbench_plugins.augmenters.das import Das, DasRaw
from torch.nn import functional

from dmlbench.protocols import load_track
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.home import ready
from dmlbench.run.planner import plan
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe

from ..train.helpers import saved, train
from .test_methods import FACTS
from .test_methods import method as load

WIDE = {"scale_low": 0.5, "scale_high": 2.0, "shift": 0.1}
TRIPLET = {"component": "dmlbench:triplet", "miner": "semihard"}
SEMIHARD = {"semihard": Component(component="dmlbench:semihard")}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def recipe(method):
    """A recipe of triplets, or of raw rows, with the augmenter `das` where options are given."""

    def build(options=None, *, auxiliary=None, raw=False):
        name = "dmlbench:das-raw" if raw else "dmlbench:das"
        augmenters = (
            {} if options is None else {"das": Augmenter(component=name, settings={**WIDE, **options})}
        )
        if raw:
            terms = {"loss": Term(component="dmlbench:lifted-structure", view="raw")}
            return method(terms=terms, augmenters=augmenters, distance="euclidean", readout="raw")
        terms = {"loss": Term(**TRIPLET, rows="all" if auxiliary is None else "real")}
        if auxiliary is not None:
            terms["auxiliary"] = Term(**TRIPLET, weight=auxiliary)
        return method(terms=terms, miners=SEMIHARD, augmenters=augmenters)

    return build


# ---- strength zero


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"copies": 0}, {}),
        ({"copies": 0}, {"raw": True}),
        ({}, {"auxiliary": 0}),
        ({"detach": True}, {"auxiliary": 0}),
    ],
)
def test_at_strength_zero_training_is_that_of_the_base_bit_for_bit(options, flags, recipe, make, weights):
    base, without = make(recipe(raw=flags.get("raw", False))), make(recipe(options, **flags))
    start = weights(base)
    train(base, 7)
    train(without, 7)
    assert not torch.equal(weights(base), start)
    assert torch.equal(weights(base), weights(without))


@pytest.mark.parametrize("flags", [{}, {"auxiliary": 1}, {"raw": True}])
def test_the_copies_change_what_is_learned(flags, recipe, make, weights):
    base, with_copies = make(recipe(raw=flags.get("raw", False))), make(recipe({}, **flags))
    train(base, 7)
    train(with_copies, 7)
    assert not torch.equal(weights(base), weights(with_copies))


def test_the_auxiliary_mode_chooses_its_triplets_anew_among_all_rows(recipe, make):
    one, both = make(recipe({})), make(recipe({}, auxiliary=1))
    for _ in range(3):
        alone, together = one.step(), both.step()
        assert together["loss"] != pytest.approx(2 * together["auxiliary"])
    assert both.mined["semihard"] > one.mined["semihard"]
    assert alone.keys() | {"auxiliary"} == together.keys()


# ---- resumption


@pytest.mark.parametrize("flags", [{}, {"auxiliary": 1}, {"raw": True}])
def test_a_resumed_run_equals_an_uninterrupted_one_wherever_it_was_cut(flags, recipe, make, weights):
    whole = make(recipe({"bank": 3}, **flags))
    cuts = {}
    while whole.step_number < 8:
        if whole.step_number in (1, 3, 5, 6):  # an epoch has 3 steps
            cuts[whole.step_number] = saved(whole)
        whole.step()
    for state in cuts.values():
        resumed = make(recipe({"bank": 3}, **flags))
        resumed.load_state_dict(state)
        train(resumed, 8 - resumed.step_number)
        assert torch.equal(weights(whole), weights(resumed))
        for name, value in whole.recipe.augmenters["das"].object.state_dict().items():
            assert torch.equal(value, resumed.recipe.augmenters["das"].object.state_dict()[name])


# ---- memory


def test_its_state_is_bounded_at_eleven_thousand_classes_of_512_dimensions():
    component = Das(11_318, 512)
    sizes = {name: value.numel() * value.element_size() for name, value in component.named_buffers()}
    assert sizes == {
        "frequency": 11_318 * 512 * 8,
        "differences": 11_318 * 10 * 512 * 2,
        "pushed": 11_318 * 8,
    }
    unit = functional.normalize(torch.randn(336, 512, generator=generator()), dim=1)
    labels = torch.arange(336) // 3 * 100
    made = component(unit, labels, generator())
    assert made.rows.dtype == torch.float32
    assert made.rows.shape == (1_008, 512)
    assert {name: len(value) for name, value in component.named_buffers()} == dict.fromkeys(sizes, 11_318)


# ---- raw rows


def test_raw_copies_are_not_normalised_and_pass_the_gradient_times_the_scale():
    component = DasRaw(1, 4, copies=1, channels=2, scale_low=2.0, scale_high=2.0, shift=0.1)
    component.differences[0, 0] = torch.tensor([0.4, -0.2, 0.0, 0.2])
    component.pushed[0] = 1
    raw = torch.tensor([[0.6, 0.1, 0.7, -0.2]], dtype=torch.float64, requires_grad=True)
    made = component(raw, torch.tensor([0]), generator())
    assert made.rows[0].tolist() == pytest.approx([1.24, 0.08, 1.40, -0.18], abs=1e-4)
    made.rows.sum().backward()
    assert raw.grad.tolist() == [[2.0, 1.0, 2.0, 1.0]]


# ---- recipes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("triplet-das", {**WIDE, "copies": 3, "channels": 4, "bank": 10, "detach": True}),
        ("lifted-structure-das", {"scale_low": 0.99, "scale_high": 1.01, "shift": 0.1, "detach": False}),
    ],
)
def test_a_recipe_has_the_settings_of_the_authors_command(name, expected):
    built = Recipe(load(name), load_track("emoji-conv4-32px-d128"), FACTS, set(), Numerics("cpu-fp32"), 0)
    settings = built.augmenters["das"].settings
    assert {key: settings[key] for key in expected} == expected


# ---- where the copies fall


@pytest.fixture
def trained(project, monkeypatch):
    """A component that trained on emoji, its small network's unit rows of all images, and their labels."""
    (planned,) = plan(["triplet-das"], task="tiny", profile="quick", seeds=[0])
    spec = planned.spec
    data = ready(spec.task, spec.track.images)
    trainer = build_trainer(spec, build_recipe(spec, data.train), data)
    train(trainer, 150)
    unit = functional.normalize(trainer.embed(torch.arange(len(data.train.labels))), dim=1)
    component = trainer.recipe.augmenters["das"].object
    monkeypatch.setattr(component, "record", lambda rows, labels: None)
    monkeypatch.setattr(component, "remember", lambda rows, labels: None)
    return component, unit, data.train.labels


def others(rows, unit, source):
    """Cosines to all real rows but the one that each was made from."""
    return (rows @ unit.T).scatter(1, source[:, None], -2.0)


def turned(rows, lengths, seed=0):
    """Each of `rows` turned in a random direction, as far as `lengths` says."""
    way = torch.randn(rows.shape, generator=generator(seed))
    way = functional.normalize(way - (way * rows).sum(dim=1, keepdim=True) * rows, dim=1)
    angle = 2 * (lengths / 2).asin()[:, None]
    return angle.cos() * rows + angle.sin() * way


@pytest.mark.slow
def test_copies_fall_where_the_neighbours_of_their_anchor_are(trained):
    component, unit, labels = trained
    made = component(unit, labels, generator())
    own, of_anchor = (
        others(rows, unit, made.source).topk(10).indices for rows in (made.rows, unit[made.source])
    )
    shared = (own[:, :, None] == of_anchor[:, None]).any(dim=2).float().mean()
    assert 10 / len(unit) < 0.03  # what two random tens share
    assert shared > 0.6  # 0.75 measured


@pytest.mark.slow
def test_remembered_differences_lead_to_real_images_and_random_moves_do_not(trained):
    component, unit, labels = trained
    component.scale_low = component.scale_high = 1.0
    component.shift = 0.5
    made = component(unit, labels, generator())
    anchors = unit[made.source]
    moved = (made.rows - anchors).norm(dim=1)
    nearest, by_chance, before = (
        others(rows, unit, made.source).amax(dim=1) for rows in (made.rows, turned(anchors, moved), anchors)
    )
    assert (nearest > by_chance).float().mean() > 0.75  # 0.86 measured
    assert (before - nearest).mean() < 0.5 * (before - by_chance).mean()  # 0.02 and 0.08 measured
