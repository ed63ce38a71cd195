"""The recipe around a component: what its signatures ask for, and nothing else of interest."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dmlbench.protocols import load_protocol
from dmlbench.registry.registry import load_target, registry
from dmlbench.registry.report import Entry
from dmlbench.run.components import check_components, components_of
from dmlbench.run.methods import load_method
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Method, Term
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.run import RunSpec
from dmlbench.spec.track import Optimiser, Track
from dmlbench.testing.catalogue import NETWORKS, role_of
from dmlbench.testing.data import TASK, pipeline
from dmlbench.testing.furniture import HOME
from dmlbench.train.names import EVENTS, NAMES, SEVERAL_LABELS
from dmlbench.train.numerics import Numerics
from dmlbench.train.settings import settings_model
from dmlbench.train.signature import parameters_of

SUBJECT, USER, MINER = "subject", "user", "miner"
DIM = 8
_METHODS = ("forward", "draw", "hold", "fuse", "dropped", *EVENTS)
_MINED = ("pairs", "triplets", "weights")
_COLUMNS = ("domain", "superclass")
"""Of the kit's data; a component asks for one by its own name, or by `train_…` for all training images."""


@dataclass(frozen=True)
class Scale:
    """How much a rehearsal does. Networks may be large, so they see fewer images, and larger ones."""

    size: int
    batch: int
    steps: int
    cuts: tuple[int, ...]
    """Steps after which training is cut: inside an epoch, and where one ends."""


_USUAL = Scale(size=16, batch=16, steps=7, cuts=(1, 3, 5))
_NETWORK = Scale(size=32, batch=8, steps=3, cuts=(1,))


def scale_of(entry: Entry) -> Scale:
    return _NETWORK if role_of(entry) in NETWORKS else _USUAL


def slot_of(entry: Entry) -> str:
    """The subject's name in the recipe that `surround` makes."""
    own = {"sampler": "sampler", "combiner": "combiner", "backbone": "backbone", "head": "main"}
    return own.get(role_of(entry), SUBJECT)


def asked_names(entry: Entry) -> set[str]:
    """Every name that any of the component's signatures asks for, in core's words."""
    target = load_target(entry)
    functions: list[Any] = [target]
    if inspect.isclass(target):
        functions += [getattr(target, name) for name in _METHODS if name in dir(target)]
    names = {parameter.name for function in functions for parameter in parameters_of(function)}
    names -= {"self"}
    return {entry.plugin.reads.get(name, name) for name in names}


def wants_several_labels(entry: Entry) -> bool:
    """Whether it belongs where images have several labels: it asks for them, or a method's component does."""
    return bool(_wanted_names(entry) & SEVERAL_LABELS)


def _wanted_names(entry: Entry) -> set[str]:
    """Every name that it asks for; of a method, that any of its components asks for."""
    if entry.plugin.kind == "dataset":
        return set()
    if entry.plugin.kind != "method":
        return asked_names(entry)
    home = entry.full_id.partition(":")[0]
    parts = components_of(load_method(entry), _track(scale_of(entry), channels=3, several=False))
    found = (registry().find(kind, component.component, home=home) for kind, _, component in parts)
    return set[str]().union(*(asked_names(part) for part in found))


def missing_settings(entry: Entry, given: Mapping[str, Any]) -> list[str]:
    """Settings that have no default and are not given."""
    fields = settings_model(load_target(entry), entry.plugin.id).model_fields
    return [name for name, field in fields.items() if field.is_required() and name not in given]


def surround(
    entry: Entry, settings: Mapping[str, Any], *, empty_miner: bool = False, memory: int = 0
) -> Method:
    """A method with the component in it. `empty_miner`: nothing mined. `memory`: its refs are older rows."""
    teacher = Component(component=f"{HOME}:teacher")
    if entry.plugin.kind == "method":
        method = load_method(entry)
        # The recipe's own may be a run that only its users have.
        return method.model_copy(update={"teacher": teacher}) if method.teacher else method
    role, asked = role_of(entry), asked_names(entry)
    subject = {"component": _name(entry), "settings": dict(settings)}
    parts: dict[str, Any] = {"terms": {USER: Term(component=f"{HOME}:pull-and-push")}}
    if "teacher" in asked:
        parts["teacher"] = teacher
    mined = [name for name in _MINED if name in asked and role != "miner"]
    if mined:
        component = Component(component=f"{HOME}:all-{mined[0]}", settings={"empty": empty_miner})
        parts["miners"] = {MINER: component}
        subject["miner"] = MINER
    if roles := asked - NAMES.keys():
        parts["sampler"] = _sampler_with(roles)
    if role in ("loss", "regulariser"):
        past = {"refs": "memory", "memory": memory} if memory else {}
        parts["terms"] = {SUBJECT: Term(**subject, **past)}
    elif role == "combiner":
        parts["terms"]["second"] = Term(component=f"{HOME}:spread")
        parts["combiner"] = Component(**subject)
    elif role == "listener":
        parts["others"] = {SUBJECT: Component(**subject)}
    elif role == "sampler":
        parts["sampler"] = Component(**subject)
    elif role == "miner":
        parts["miners"] = {SUBJECT: Component(**subject)}
        past = {"refs": "memory", "memory": memory} if memory else {}
        user = f"{HOME}:from-{entry.plugin.yields}"
        parts["terms"] = {USER: Term(component=user, miner=SUBJECT, **past)}
    elif role == "augmenter":
        parts["augmenters"] = {SUBJECT: Augmenter(**subject)}
    elif role == "backbone":
        parts["backbone"] = Component(**subject)
    else:
        parts["heads"] = {"main": Component(**subject)}
    return Method(id="rehearsal", summary="The kit's own.", fidelity="baseline", **parts)


def run_spec(
    entry: Entry, method: Method, *, channels: int = 3, numerics: str = "cpu-fp32", seed: int = 0
) -> RunSpec:
    """The method as a run on the kit's data; the same checks as before any run."""
    several = wants_several_labels(entry)
    track = _track(scale_of(entry), channels, several)
    wanted = _wanted_names(entry)
    columns = tuple(name for name in _COLUMNS if {name, f"train_{name}"} & wanted)
    home = entry.full_id.partition(":")[0]
    return RunSpec(
        name=f"{home}:rehearsal",
        method=method,
        protocol=_protocol(columns, several),
        task=TASK,
        track=track,
        profile="smoke",
        seed=seed,
        numerics=Numerics(numerics).name,
        torch="any",
        sources=check_components(method, TASK, track, home),
    )


def _track(scale: Scale, channels: int, several: bool) -> Track:
    by_class = Component(component="dmlbench:pk", settings={"per_class": 4})
    return Track(
        id="rehearsal",
        summary="A small network, a few steps.",
        backbone=Component(component=f"{HOME}:trunk"),
        head=Component(component=f"{HOME}:head"),
        dimension=DIM,
        images=pipeline(scale.size, channels),
        pretraining="none",
        batch_size=scale.batch,
        sampler=Component(component="dmlbench:random") if several else by_class,
        optimiser=Optimiser(
            name="adamw", rate=Decimal("0.002"), weight_decay=Decimal("0.0005"), schedule="cosine"
        ),
        batchnorm="train",
        budget={"smoke": scale.batch * scale.steps},
    )


def _protocol(columns: tuple[str, ...], several: bool) -> Protocol:
    rules = load_protocol("zero-shot/v1")
    # A few steps on few images: passes over all of them would soon be more than a run may use.
    own = {"id": "local/rehearsal/v1", "status": "draft", "columns": columns, "extra_forwards": 100}
    return rules.model_copy(update={**own, "labels": "several" if several else "one"})


def _name(entry: Entry) -> str:
    """What a recipe calls it: a local file by its path."""
    if entry.path is not None and entry.full_id.startswith("local:"):
        return f"{entry.path}:{entry.plugin.target.partition(':')[2]}"
    return entry.full_id


def _sampler_with(roles: set[str]) -> Component | None:
    """An installed sampler that draws these roles; none is left for the recipe itself to complain of."""
    for entry in registry().of_kind("sampler"):
        if entry.status == "ok" and roles <= set(entry.plugin.provides):
            return Component(component=entry.full_id)
    return None
