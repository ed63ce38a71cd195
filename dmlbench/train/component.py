"""Building a component from its entry, and calling its methods with what they ask for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import nn

from dmlbench.errors import ContractError, UsageError, nearest
from dmlbench.registry.registry import load_target, registry
from dmlbench.registry.report import Entry
from dmlbench.spec.component import Component
from dmlbench.train.calling import answer_of, constructing
from dmlbench.train.names import EVENTS
from dmlbench.train.randomness import derive, reseed_globals
from dmlbench.train.scope import Scope
from dmlbench.train.settings import resolve_settings
from dmlbench.train.signature import Request, location, read_request


class Built:
    """A component of a recipe: its object, its settings, and what each of its methods asks for."""

    def __init__(self, name: str, entry: Entry, component: Any, settings: dict[str, Any]) -> None:
        self.name = name
        self.entry = entry
        self.object = component
        self.settings = settings
        self.requests: dict[str, Request] = {}

    @property
    def module(self) -> nn.Module | None:
        """The component as a module; None when it is a function, which has no state."""
        return self.object if isinstance(self.object, nn.Module) else None

    def method(self, name: str) -> Callable[..., Any] | None:
        """Its method of that name, if it is a module that has one."""
        return getattr(self.module, name, None)

    def read(
        self,
        moment: str,
        function: Callable[..., Any],
        *,
        present: Collection[str] | None = None,
        roles: Collection[str] = (),
    ) -> Request:
        """Read and check the signature that is used at `moment`."""
        request = read_request(
            function, moment, self.name, present=present, roles=roles, reads=self.entry.plugin.reads
        )
        self.requests[moment] = request
        return request

    def call(self, moment: str, scope: Scope, function: Callable[..., Any] | None = None) -> Any:
        """Call `function` (the component itself unless given) with what it asked for at `moment`."""
        return answer_of(self, moment, function or self.object, self.requests[moment].values(scope))


def build(
    kind: str,
    component: Component,
    name: str,
    facts: Mapping[str, Any],
    seed: int,
    home: str,
    role: str | None = None,
) -> Built:
    """Build what the recipe calls `name`; of the given role, where its kind has several.

    A class is constructed with the facts that its constructor names before the `*`; a function keeps its
    settings bound. Construction draws from the stream `init` of its own name, so that adding a component
    never changes another one's start.

    Raises `UsageError`, `SpecError` or `ContractError` for a wrong name, setting or signature.
    """
    place = f"component {name!r} of the recipe"
    entry = registry().find(kind, component.component, place=place, home=home)
    if role not in (None, actual := getattr(entry.plugin, "role", None)):
        raise UsageError(f"{entry.full_id} is a {actual}, not a {role}", place=f"component {name!r}")
    target = load_target(entry)
    settings = resolve_settings(target, component.settings, name)
    if inspect.isclass(target):
        if not issubclass(target, nn.Module):
            raise ContractError(
                f"{name}: {target.__name__} is a class but no nn.Module",
                place=location(target),
                way_out="a component is a function or an nn.Module",
            )
        _refuse_misspelt_events(target, name)
        request = read_request(target, "__init__", name, present=facts.keys())
        given = {argument: facts[fact] for argument, fact in request.arguments}
        reseed_globals(derive(seed, "init", name))
        with constructing(name, entry, target):
            component = target(**given, **settings)
        return Built(name, entry, component, settings)
    if isinstance(target, nn.Module) or not callable(target):
        raise ContractError(
            f"{name}: {entry.plugin.target} is a {type(target).__name__}",
            way_out="a target names a function or an nn.Module class",
        )
    function = functools.wraps(target)(functools.partial(target, **settings)) if settings else target
    return Built(name, entry, function, settings)


def _refuse_misspelt_events(target: type[nn.Module], name: str) -> None:
    for attribute in dir(target):
        if attribute.startswith("on_") and attribute not in EVENTS:
            raise ContractError(
                f"{name} has a method {attribute!r}, which is no event",
                place=location(getattr(target, attribute)),
                near=nearest(attribute, EVENTS),
                way_out=f"events: {', '.join(EVENTS)}",
            )
