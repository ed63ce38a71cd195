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
        full_id = "+".join(part[0] for part in parts).replace("+dmlbench:", "+")
        return f"{full_id.replace('+', '-')}@{digest(method).removeprefix('sha256:')[:8]}", method
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
    return build_spec(Method, parse_toml(text, place=file), place=file)


def _single(name: str) -> tuple[str, Method, bool]:
    """(full id, recipe, whether it is ad hoc)."""
    if LOCAL_FILE.fullmatch(name):
        # As the user wrote it: what tells two files of one name apart is their source, not where they lie.
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
        f"no method or loss named {name!r}", near=nearest(name, known), way_out="dmlbench list method"
    )


def _bare(entry: Entry, component: str) -> tuple[str, Method, bool]:
    """A loss as the method `loss-ID`."""
    method = Method(
        id=f"loss-{entry.plugin.id}",
        summary=entry.plugin.summary or f"The loss {entry.plugin.id} with the track's sampler.",
        fidelity="reconstruction",
        terms={"loss": Term(component=component)},
    )
    return f"{entry.distribution}:{method.id}", method, entry.distribution == LOCAL


def _sum(first: Method, second: Method) -> Method:
    """`first` with everything that `second` adds; a name that both use gets the second's id in front."""
    taken = {*first.terms, *first.augmenters, *first.miners, *first.others}

    def named(parts: Mapping[str, Any]) -> dict[str, Any]:
        return {
            f"{second.id}-{name}" if name in taken else name: _with_miner(part)
            for name, part in parts.items()
        }

    def _with_miner(part: Any) -> Any:
        miner = getattr(part, "miner", None)
        return part.model_copy(update={"miner": f"{second.id}-{miner}"}) if miner in taken and miner else part

    if first.combiner and second.combiner:
        raise UsageError(f"{first.id} and {second.id} both have a combiner")
    update = {
        "id": f"{first.id}-{second.id}"[:64],
        "base": first.id,
        "terms": {**first.terms, **named(second.terms)},
        "augmenters": {**first.augmenters, **named(second.augmenters)},
        "miners": {**first.miners, **named(second.miners)},
        "others": {**first.others, **named(second.others)},
        "combiner": first.combiner or second.combiner,
    }
    return Method.model_validate({**first.model_dump(), **update})


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
