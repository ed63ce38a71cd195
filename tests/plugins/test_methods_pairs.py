"""Recipes of losses of pairs and tuples, and what any recipe says may be searched."""

from decimal import Decimal

import pytest

from dmlbench.protocols import load_track
from dmlbench.registry.registry import load_target, registry
from dmlbench.run.methods import load_method
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe
from dmlbench.train.settings import resolve_settings

from .test_methods import FACTS, METHODS, by_id, entry, method


def built(name):
    return Recipe(
        method(name), load_track("emoji-conv4-32px-d128"), FACTS, set(), Numerics("cpu-fp32"), seed=0
    )


@pytest.mark.parametrize(
    ("name", "component", "settings"),
    [
        ("lifted-structure", "loss", {"margin": 1.0}),
        ("lifted-structure-generalised", "loss", {"margin": 1.0}),
        ("cbml", "loss", {"form": "log", "positive_base": 0.5, "positive_scale": 0.5, "epsilon": 0.1}),
        ("cbml", "loss", {"negative_base": 1.0, "negative_scale": 0.01}),
        ("cbml", "variance", {"mix": 0.2, "reduction": "sum", "epsilon": 0.1}),
        (
            "margin-distance-weighted",
            "loss",
            {"margin": 0.2, "boundary": 1.2, "boundaries": "class", "nu": 0.0},
        ),
        ("margin-distance-weighted", "distance", {"cutoff": 0.5, "farthest": 1.4}),
        ("multi-similarity-paper", "loss", {"alpha": 2.0, "beta": 50.0, "base": 1.0, "epsilon": 0.1}),
        ("triplet-batch-hard", "loss", {"compared_by": "distance", "temperature": 1.0}),
        ("triplet-easy-positive", "loss", {"compared_by": "similarity", "temperature": 0.1}),
        ("triplet-easy-positive", "easy", {"negative": "semihard"}),
        ("binomial-deviance", "loss", {"alpha": 2.0, "beta": 50.0, "base": 0.5}),
        ("circle", "loss", {"margin": 0.4, "scale": 80.0}),
        ("supcon", "loss", {"temperature": 0.1}),
        ("nt-xent", "loss", {"temperature": 0.1}),
    ],
)
def test_a_recipe_has_the_settings_of_the_source_that_it_names(name, component, settings):
    found = built(name).built[component].settings
    assert {key: found[key] for key in settings} == settings


@pytest.mark.parametrize("name", ["lifted-structure", "lifted-structure-generalised"])
def test_what_learns_on_raw_embeddings_is_scored_on_them(name):
    recipe = method(name)
    assert recipe.terms["loss"].view == recipe.readout == "raw"
    assert recipe.distance == "euclidean"


def test_a_memory_stands_beside_the_batch_and_begins_later():
    recipe, base = method("contrastive-memory"), method("contrastive")
    assert recipe.terms["loss"] == base.terms["loss"]
    past = recipe.terms["past"]
    assert (past.component, past.refs, past.memory) == (base.terms["loss"].component, "memory", 1024)
    assert past.from_step > 0


def test_the_two_settings_of_multi_similarity_differ_in_nothing_else():
    paper, code = method("multi-similarity-paper").terms["loss"], method("multi-similarity").terms["loss"]
    assert paper.component == code.component
    assert {"settings": {"beta": Decimal("50.0"), "base": Decimal("1.0")}} == {
        key: value for key, value in paper.model_dump().items() if value != code.model_dump()[key]
    }


@pytest.mark.parametrize("plugin", METHODS, ids=by_id)
def test_what_may_be_searched_exists_and_takes_each_value(plugin):
    recipe = load_method(entry(plugin))
    kinds = {
        "loss": {**recipe.terms, **recipe.others},
        "miner": recipe.miners,
        "augmenter": recipe.augmenters,
        "backbone": {**recipe.heads, **({"backbone": recipe.backbone} if recipe.backbone else {})},
    }
    kinds["sampler"] = {"sampler": recipe.sampler} if recipe.sampler else {}
    kinds["loss"] |= {"combiner": recipe.combiner} if recipe.combiner else {}
    parts = {name: (kind, part) for kind, named in kinds.items() for name, part in named.items()}
    for key, values in recipe.search.items():
        name, _, setting = key.partition(".")
        kind, part = parts[name]
        target = load_target(registry().find(kind, part.component, home="dmlbench"))
        assert len(values) > 1
        for value in values:
            resolve_settings(target, {**part.settings, setting: value}, name)
