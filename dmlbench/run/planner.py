"""From names to run specs: everything that can be wrong with a command is found here, before any run."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from dmlbench.errors import UsageError
from dmlbench.protocols import load_protocol, load_task, load_track
from dmlbench.registry.registry import digest_of, load_target, registry
from dmlbench.run.methods import resolve_method
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method
from dmlbench.spec.protocol import ProfileName, Scored
from dmlbench.spec.run import RunSpec
from dmlbench.spec.task import Task
from dmlbench.spec.track import Track
from dmlbench.train.numerics import Numerics, best_numerics
from dmlbench.train.settings import resolve_settings


@dataclass(frozen=True)
class Planned:
    """A run to make, and what of it is looked at."""

    spec: RunSpec
    scored: Scored


def plan(
    methods: Sequence[str],
    *,
    protocol: str | None = None,
    task: str,
    track: str | None = None,
    profile: ProfileName,
    seeds: Sequence[int] | None = None,
    changes: Sequence[str] = (),
    score_test: bool = False,
    numerics: str | None = None,
) -> list[Planned]:
    """The runs of a command, methods outermost.

    Raises `UsageError` or `SpecError` for an unknown method, task, track, component or setting.
    """
    the_task = load_task(task)
    the_protocol = load_protocol(protocol or the_task.protocol)
    the_track = load_track(track or the_task.track)
    if profile not in the_protocol.profiles:
        raise UsageError(
            f"protocol {the_protocol.id} has no profile {profile!r}",
            way_out=f"--profile {' or '.join(the_protocol.profiles)}",
        )
    _check_budget(the_track, profile)
    rules = the_protocol.profiles[profile]
    scored: Scored = "test" if score_test else rules.scores
    chosen = list(range(rules.seeds)) if seeds is None else list(seeds)
    device = _usable(numerics) if numerics else best_numerics()
    runs = []
    for name in methods:
        full_id, method = resolve_method(name, changes)
        sources = check_components(method, the_task, the_track, full_id.partition(":")[0])
        for seed in chosen:
            spec = RunSpec(
                name=full_id,
                method=method,
                protocol=the_protocol,
                task=the_task,
                track=the_track,
                profile=profile,
                seed=seed,
                numerics=device,
                torch=_torch_minor(),
                sources=sources,
            )
            runs.append(Planned(spec, scored))
    return runs


def check_components(method: Method, task: Task, track: Track, home: str = "") -> dict[str, str]:
    """Find every component and check its settings; the source digest of each, by its name in the recipe."""
    sources = {}
    for kind, name, component in components_of(method, track):
        place = f"component {name!r} of {method.id}"
        entry = registry().find(kind, component.component, place=place, home=home)
        role = getattr(entry.plugin, "role", kind)
        if kind == "loss" and role not in _roles(method, name):
            raise UsageError(f"{entry.full_id} is a {role}, not a {_roles(method, name)[0]}", place=place)
        resolve_settings(load_target(entry), component.settings, name)
        sources[name] = digest_of(entry)
    registry().find("dataset", task.dataset.component, place=f"task {task.id}")
    return sources


def _roles(method: Method, name: str) -> tuple[str, ...]:
    """What a component of kind loss may be at its place in the recipe."""
    if name == "combiner":
        return ("combiner",)
    return ("loss", "regulariser") if name in method.terms else ("listener",)


def components_of(method: Method, track: Track) -> Iterator[tuple[str, str, Component]]:
    """(kind, name in the recipe, component) of everything a method on a track is made of."""
    yield "backbone", "backbone", method.backbone or track.backbone
    for name, head in (method.heads or {"main": track.head}).items():
        yield "backbone", name, head
    yield "sampler", "sampler", method.sampler or track.sampler
    if method.teacher:
        yield "backbone", "teacher", method.teacher
    if method.combiner:
        yield "loss", "combiner", method.combiner
    for kind, group in (
        ("miner", method.miners),
        ("augmenter", method.augmenters),
        ("loss", method.terms),
        ("loss", method.others),
    ):
        for name, component in group.items():
            yield kind, name, component


def _check_budget(track: Track, profile: ProfileName) -> None:
    budget = track.budget.get(profile)
    if budget is None:
        raise UsageError(
            f"track {track.id} has no budget for the profile {profile!r}",
            way_out=f"--profile {' or '.join(track.budget)}",
        )
    if budget < track.batch_size:
        raise UsageError(
            f"the budget of {budget} images is less than one batch of {track.batch_size}",
            place=f"track {track.id}",
        )


def _usable(numerics: str) -> str:
    """`numerics`, if this machine can do it."""
    chosen = Numerics(numerics)
    if chosen.device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"{numerics}: no CUDA device here", way_out=f"--numerics {best_numerics()}")
    return chosen.name


@functools.cache
def _torch_minor() -> str:
    """`2.13`: other patch releases promise equal numbers."""
    return ".".join(importlib.metadata.version("torch").split(".")[:2])
