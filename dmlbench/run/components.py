"""What a method on a track is made of, found and checked before any run."""

from __future__ import annotations

from collections.abc import Iterator

from dmlbench.errors import UsageError
from dmlbench.registry.registry import digest_of, load_target, registry
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method
from dmlbench.spec.task import Task
from dmlbench.spec.track import Track
from dmlbench.train.settings import resolve_settings


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
