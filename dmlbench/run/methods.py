"""From what a user wrote to a method: a name, a loss, a file, a sum of methods, changed settings."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dmlbench.errors import ContractError, SpecError, UsageError, nearest
from dmlbench.registry.registry import LOCAL, LOCAL_FILE, registry
from dmlbench.registry.report import Entry
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method, Term
from dmlbench.spec.model import digest
from dmlbench.spec.toml import build_spec, load_spec, parse_toml


def resolve_method(name: str, changes: Sequence[str] = ()) -> tuple[str, Method]:
    """The full id and the recipe of `name`, with `changes` (`COMPONENT.SETTING=VALUE`) applied.

    `name`: a method, a loss (runs with the track's sampler and no miner), `./file.py:function`,
    `./method.toml`, or `a+b`. What is not a published recipe gets `@` and 8 digits of its digest.

    Raises `UsageError` or `SpecError` for anything that does not exist.
    """
    parts = [_single(part) for part in name.split("+")]
    full_id, method, ad_hoc = parts[0]
    for _, other, _ in parts[1:]:
        method = _sum(method, other)
    if changes:
        method = _changed(method, changes)
    if ad_hoc or changes or len(parts) > 1:
        home = full_id.partition(":")[0]
        return f"{home}:{method.id}@{digest(method).removeprefix('sha256:')[:8]}", method
    return full_id, method


def load_method(entry: Entry) -> Method:
    """The recipe that a `MethodPlugin` points at. `ContractError` when there is none."""
    package, _, name = entry.plugin.target.partition(":")
    try:
        file = importlib.resources.files(package) / f"{name}.toml"
        text = file.read_text(encoding="utf-8")
    except (ImportError, OSError) as error:
        raise ContractError(
            f"method {entry.full_id!r}: no file {name}.toml in {package}", place=package
        ) from error
    except (Exception, SystemExit) as error:  # finding the file imports the package
        raise ContractError(
            f"method {entry.full_id!r}: {name}.toml cannot be read: {type(error).__name__}: {error}",
            place=package,
        ) from error
    return build_spec(Method, parse_toml(text, place=file), place=file)


def _single(name: str) -> tuple[str, Method, bool]:
    """(full id, recipe, whether it is ad hoc)."""
    if LOCAL_FILE.fullmatch(name):
        # As the user wrote it, not where it lies: the run key holds the source itself.
        return _bare(registry().find("loss", name), os.path.normpath(name))
    if name.endswith(".toml"):
        method = load_spec(Method, Path(name))
        return f"{LOCAL}:{method.id}", method, True
    methods = registry().of_kind("method")
    if any(name in (entry.plugin.id, entry.full_id) for entry in methods):
        entry = registry().find("method", name)
        return entry.full_id, load_method(entry), False
    losses = registry().of_kind("loss")
    if any(name in (entry.plugin.id, entry.full_id) for entry in losses):
        entry = registry().find("loss", name)
        return _bare(entry, entry.full_id)
    known = {entry.plugin.id for entry in (*methods, *losses)}
    raise UsageError(
        f"no method or loss named {name!r}" + registry().missed(name),
        near=nearest(name, known),
        way_out="dmlbench list method",
    )


def _bare(entry: Entry, component: str) -> tuple[str, Method, bool]:
    """A loss as the method `loss-ID`."""
    method = Method(
        id=f"loss-{entry.plugin.id}",
        summary=entry.plugin.summary or f"The loss {entry.plugin.id} with the track's sampler.",
        fidelity="reconstruction",
        terms={"loss": Term(component=component)},
    )
    return f"{entry.namespace}:{method.id}", method, entry.distribution == LOCAL


_ONE_ONLY = ("sampler", "teacher", "backbone", "heads", "distance", "readout")
"""What a recipe has once: in a sum only the first method may have its own."""


def _sum(first: Method, second: Method) -> Method:
    """`first` plus the terms, augmenters, miners, listeners and combiner of `second`.

    A name that both use gets the second's id in front. `UsageError` for what cannot be added.
    """
    for part in (first, second):
        if not part.trains:
            raise UsageError(f"{part.id} does not train, so it cannot be part of a sum")
    for field in _ONE_ONLY:
        if getattr(second, field) != Method.model_fields[field].get_default(call_default_factory=True):
            raise UsageError(
                f"{second.id} has its own {field}, which only the first method of a sum may have",
                way_out=f"{second.id}+{first.id}",
            )
    if first.combiner and second.combiner:
        raise UsageError(f"{first.id} and {second.id} both have a combiner")
    taken = {*first.terms, *first.augmenters, *first.miners, *first.others}
    names = {
        name: _free(name, second.id, taken)
        for name in (*second.terms, *second.augmenters, *second.miners, *second.others)
    }
    data, more = first.model_dump(), second.model_dump()
    for group in ("terms", "augmenters", "miners", "others"):
        data[group] |= {names[name]: _renamed(part, names) for name, part in more[group].items()}
    data |= {"id": f"{first.id}-{second.id}"[:64], "base": first.id}
    data["combiner"] = data["combiner"] or more["combiner"]
    return build_spec(Method, data, place=f"{first.id}+{second.id}")


def _free(name: str, owner: str, taken: set[str]) -> str:
    """`name`, or a longer one that nobody has; it is taken from now on."""
    while name in taken:
        name = f"{owner}-{name}"
    taken.add(name)
    return name


def _renamed(part: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A component whose references follow the new names."""
    part = dict(part)
    if part.get("miner") in names:
        part["miner"] = names[part["miner"]]
    if isinstance(part.get("weight"), str):
        owner, dot, attribute = part["weight"].rpartition(".")
        part["weight"] = names.get(owner, owner) + dot + attribute
    return part


def _changed(method: Method, changes: Sequence[str]) -> Method:
    data = method.model_dump()
    slots = _slots(method)
    for change in changes:
        path, equals, text = change.partition("=")
        component, dot, setting = path.partition(".")
        if not equals or not dot:
            raise UsageError(
                f"--set {change!r} is not of the form COMPONENT.SETTING=VALUE", way_out="loss.alpha=2"
            )
        if component == "sampler" and method.sampler is None:
            raise UsageError(
                "this method uses the track's sampler, whose settings are held equal",
                place=f"--set {change}",
                way_out="a method with a [sampler] of its own",
            )
        if component not in slots:
            raise UsageError(
                f"{method.id} has no component {component!r}",
                place=f"--set {change}",
                near=nearest(component, slots),
                way_out=f"its components: {', '.join(slots)}",
            )
        slot = data
        for key in slots[component]:
            slot = slot[key]
        slot["settings"] = {**slot["settings"], setting: _value(text, change)}
    return build_spec(Method, data, place="--set")


def _slots(method: Method) -> dict[str, tuple[str, ...]]:
    """Where each component of a recipe stands in its data."""
    single = {
        name: (name,)
        for name in ("sampler", "combiner", "backbone", "teacher")
        if isinstance(getattr(method, name), Component)
    }
    many = {
        name: (group, name)
        for group in ("terms", "miners", "augmenters", "others", "heads")
        for name in getattr(method, group)
    }
    return {**many, **single}


def _value(text: str, change: str) -> Any:
    """A TOML value; a bare word is text."""
    try:
        return parse_toml(f"value = {text}", place=f"--set {change}")["value"]
    except SpecError:
        return text
