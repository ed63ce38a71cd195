import importlib.metadata
import inspect
import re
from pathlib import Path

import dmlbench_plugins
import dmlbench_plugins.pml
import dmlbench_plugins.timm_backbones
import pytest
import torch
from torch import nn

from dmlbench.errors import ContractError, MissingPackageError, UsageError
from dmlbench.protocols import ids, load_protocol, load_task, load_track
from dmlbench.registry.descriptors import KINDS
from dmlbench.registry.registry import load_target, registry
from dmlbench.registry.report import Entry
from dmlbench.run.components import check_components, components_of
from dmlbench.run.methods import load_method
from dmlbench.spec.component import Component
from dmlbench.testing.surroundings import asked_names
from dmlbench.train.names import ONE_CLASS, SEVERAL_LABELS
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe
from dmlbench.train.settings import settings_model

HERE = Path(dmlbench_plugins.__file__).parent

OFFERED = [plugin for hook in KINDS for plugin in getattr(dmlbench_plugins, hook)()]
METHODS = [plugin for plugin in OFFERED if plugin.kind == "method"]
COMPONENTS = [plugin for plugin in OFFERED if plugin.kind != "method"]

FOLDERS = {
    "losses": "loss",
    "samplers": "sampler",
    "miners": "miner",
    "augmenters": "augmenter",
    "backbones": "backbone",
    "datasets": "dataset",
}

ANY_FACTS = {"num_samples": 400, "steps": 100, "epoch_steps": 3, "batch_size": 128}
FACTS = {**ANY_FACTS, "num_classes": 40, "class_counts": torch.full((40,), 10)}
LABEL_FACTS = {**ANY_FACTS, "num_labels": 12, "label_counts": torch.full((12,), 90)}


def entry(plugin):
    return Entry(plugin, "dmlbench", "0")


def method(name):
    (plugin,) = [plugin for plugin in METHODS if plugin.id == name]
    return load_method(entry(plugin))


def asked_by(recipe, track):
    """Every name that a component of the recipe asks for."""
    names = set()
    for kind, _, component in components_of(recipe, track):
        names |= asked_names(registry().find(kind, component.component, home="dmlbench"))
    return names


def by_id(plugin):
    return f"{plugin.kind}-{plugin.id}"


methods = pytest.mark.parametrize("plugin", METHODS, ids=by_id)
components = pytest.mark.parametrize("plugin", COMPONENTS, ids=by_id)
tasks = pytest.mark.parametrize("task", ids("task"))


def needs_a_file(task):
    """Whether the track starts from weights that nobody may pass on: users have their file."""
    return "weights" in load_track(load_task(task).track).backbone.settings


tasks_without_files = pytest.mark.parametrize(
    "task", [task for task in ids("task") if not needs_a_file(task)]
)


# ---- descriptors


def test_the_built_in_plugins_come_in_by_an_entry_point():
    points = importlib.metadata.distribution("dmlbench").entry_points
    found = {point.name: point.value for point in points if point.group == "dmlbench"}
    assert found == {
        "builtin": "dmlbench_plugins",
        "pml": "dmlbench_plugins.pml",
        "timm": "dmlbench_plugins.timm_backbones",
    }


def test_every_kind_has_a_hook_and_no_id_is_used_twice():
    names = [by_id(plugin) for plugin in OFFERED]
    assert {plugin.kind for plugin in OFFERED} == {kind.kind for kind in KINDS.values()}
    assert len(names) == len(set(names))


@components
def test_what_a_descriptor_points_at_can_be_imported(plugin):
    try:
        target = load_target(entry(plugin))
    except MissingPackageError as error:
        pytest.skip(f"an extra is not installed: {error.way_out}")
    assert callable(target)
    assert plugin.summary
    if plugin.kind == "dataset":
        assert plugin.licence
        assert plugin.attribution
    else:
        assert inspect.isfunction(target) or issubclass(target, nn.Module)
        settings_model(target, plugin.id)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_offered_by_a_descriptor_of_its_kind_or_shared_by_two(folder):
    modules = {
        f"dmlbench_plugins.{folder}.{p.stem}": p.read_text() for p in (HERE / folder).glob("[a-z]*.py")
    }
    timm = list(dmlbench_plugins.timm_backbones.dmlbench_backbones())
    offered = {
        plugin.target.split(":")[0] for plugin in (*COMPONENTS, *timm) if plugin.kind == FOLDERS[folder]
    }
    assert modules
    assert offered <= modules.keys()
    for module in modules.keys() - offered:
        users = [text for text in modules.values() if re.search(rf"from {re.escape(module)} import", text)]
        assert len(users) > 1, f"{module} is no component, and no two components share it"


def test_components_in_one_file_are_variants_of_one_name():
    by_module = {}
    for plugin in COMPONENTS:
        by_module.setdefault(plugin.target.split(":")[0], []).append(plugin.id)
    for names in by_module.values():
        assert len({re.split(r"[-\d]", name)[0] for name in names}) == 1, names


def test_no_plugin_stands_outside_the_folders():
    assert {path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        *FOLDERS,
        "methods",
        "pml",
    }


# ---- recipes


def test_every_recipe_is_offered():
    files = {path.stem for path in (HERE / "methods").glob("*.toml")}
    assert files == {plugin.target.split(":")[1] for plugin in METHODS}


@methods
def test_a_recipe_is_valid_and_its_file_is_named_after_its_id(plugin):
    recipe = load_method(entry(plugin))
    assert recipe.id == plugin.id
    assert plugin.target == f"dmlbench_plugins.methods:{plugin.id.replace('-', '_')}"
    assert recipe.summary


@methods
def test_a_recipe_is_compared_with_one_that_is_offered_and_never_with_itself(plugin):
    seen = [plugin.id]
    base = load_method(entry(plugin)).base
    while base is not None:
        assert base in {other.id for other in METHODS}
        assert base not in seen
        seen.append(base)
        base = method(base).base


@methods
def test_a_recipe_that_trains_says_where_it_and_its_settings_come_from(plugin):
    recipe = load_method(entry(plugin))
    if recipe.trains:
        assert recipe.paper
        assert recipe.settings_from
        assert recipe.fidelity != "baseline"
    else:
        assert recipe.fidelity == "baseline"


@tasks
@methods
def test_the_components_of_a_recipe_exist_and_their_settings_resolve(plugin, task):
    the_task = load_task(task)
    recipe = load_method(entry(plugin))
    sources = check_components(recipe, the_task, load_track(the_task.track))
    assert {"backbone", "sampler", *(recipe.heads or {"main"})} <= sources.keys()
    assert all(digest.startswith("sha256:") for digest in sources.values())


@tasks_without_files
@methods
def test_a_recipe_can_be_built_on_every_track_but_for_the_labels_that_it_reads(plugin, task):
    recipe = load_method(entry(plugin))
    the_task = load_task(task)
    track = load_track(the_task.track)
    protocol = load_protocol(the_task.protocol)
    several, columns = protocol.labels == "several", set(protocol.columns)
    facts, absent = (LABEL_FACTS, ONE_CLASS) if several else (FACTS, SEVERAL_LABELS)
    absent = absent | ({"domain", "train_domain"} if "domain" not in columns else set())
    if recipe.teacher and recipe.teacher.component == "finished-run":
        with pytest.raises(UsageError, match="no finished run"):
            Recipe(recipe, track, facts, columns, Numerics("cpu-fp32"), seed=0)
        recipe = recipe.model_copy(update={"teacher": Component(component="grey-pixels")})
    if asked_by(recipe, track) & absent:
        with pytest.raises(ContractError, match="which nothing in this recipe" + "|no class" * several):
            Recipe(recipe, track, facts, columns, Numerics("cpu-fp32"), seed=0)
        return
    built = Recipe(recipe, track, facts, columns, Numerics("cpu-fp32"), seed=0)
    assert built.terms.keys() == recipe.terms.keys()
    of_a_head = {
        "raw-pixels": 256,
        "loss-ensemble": track.dimension // 4,
        "loss-ensemble-compressed": track.dimension // 2,
    }
    assert built.facts["embedding_dim"] == of_a_head.get(plugin.id, track.dimension)


@pytest.mark.parametrize(
    ("name", "component", "settings"),
    [
        ("multi-similarity", "loss", {"alpha": 2.0, "beta": 40.0, "base": 0.5, "epsilon": 0.1}),
        ("contrastive", "loss", {"positive_margin": 0.0, "negative_margin": 1.0}),
        ("triplet-semihard", "loss", {"margin": 0.2}),
        ("triplet-semihard", "semihard", {"margin": 0.2}),
        ("normalised-softmax", "loss", {"temperature": 0.05}),
        ("proxy-nca", "loss", {"form": "paper", "scale_embedding": 3.0, "scale_proxy": 3.0}),
        ("softmax-center", "center", {"rate": 0.5}),
        ("das", "das", {"copies": 3, "channels": 4, "scale_low": 0.99, "scale_high": 1.01, "bank": 10}),
        ("das", "das", {"shift": 0.01, "detach": True}),
        ("das", "loss", {"alpha": 2.0, "beta": 40.0, "base": 0.5, "epsilon": 0.1}),
    ],
)
def test_a_recipe_has_the_settings_of_the_source_that_it_names(name, component, settings):
    track = load_track("emoji-conv4-32px-d128")
    built = Recipe(method(name), track, FACTS, set(), Numerics("cpu-fp32"), seed=0).built[component]
    assert {key: built.settings[key] for key in settings} == settings


def test_a_method_and_its_base_differ_in_what_is_studied_alone():
    with_das, without = method("das"), method(method("das").base)
    assert with_das.terms == without.terms
    assert method("softmax-center").terms["loss"] == method("normalised-softmax").terms["loss"]
