"""Reading one plugin: which hooks it has, what they yield. What pluggy passes over in silence is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import pluggy

from dmlbench.errors import ContractError, nearest
from dmlbench.registry import hookspecs
from dmlbench.registry.descriptors import KINDS, Plugin
from dmlbench.registry.hookspecs import PROJECT

_MARK = f"{PROJECT}_impl"
_PREFIX = f"{PROJECT}_"


def offered(name: str, plugin: object) -> list[Plugin]:
    """What the hooks of `plugin`, a module or an object, yield.

    Raises `ContractError` or `pluggy.PluginValidationError` for a plugin that breaks the contract, and
    whatever its own code raises.
    """
    # pluggy looks at every attribute, which would call a lazy module's __getattr__; it gets the hooks alone.
    hooks = ModuleType(name)
    vars(hooks).update(_hooks(plugin))
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(hooks, name=name)
    manager.check_pending()
    return [found for hook, kind in KINDS.items() for found in _yielded(manager, hook, kind)]


def _hooks(plugin: object) -> dict[str, Callable[..., Any]]:
    functions = {name: value for name, value in _members(plugin) if callable(value)}
    hooks = {}
    for name, function in functions.items():
        mark = getattr(function, _MARK, None)
        if not isinstance(mark, dict):
            if name in KINDS:
                raise ContractError(f"{name} is not marked with @hookimpl")
            if name.startswith(_PREFIX):
                raise _no_hook(name)
            continue
        hook = mark.get("specname") or name
        if hook not in KINDS:
            raise _no_hook(hook)
        hooks[name] = function
    if not hooks:
        near = next((f"{name}: {hook}" for name in functions if (hook := nearest(name, KINDS))), None)
        raise ContractError("it has no hook", near=near, way_out=f"hooks: {', '.join(KINDS)}")
    return hooks


def _members(plugin: object) -> Iterable[tuple[str, Any]]:
    """A module's own names as they lie there; other objects' attributes, methods included."""
    if isinstance(plugin, ModuleType):
        return list(vars(plugin).items())
    return [(name, getattr(plugin, name)) for name in dir(plugin) if not name.startswith("__")]


def _no_hook(name: str) -> ContractError:
    return ContractError(
        f"{name} is no hook; nearest: {nearest(name, KINDS) or ', '.join(KINDS)}",
    )


def _yielded(manager: pluggy.PluginManager, hook: str, kind: type[Plugin]) -> Iterator[Plugin]:
    for answer in getattr(manager.hook, hook)():
        if isinstance(answer, Plugin) or not isinstance(answer, Iterable):
            raise ContractError(
                f"{hook} returned a {type(answer).__name__}", way_out=f"yield each {kind.__name__}"
            )
        for plugin in answer:
            if not isinstance(plugin, kind):
                said = f"{hook} yielded a {type(plugin).__name__}, not a {kind.__name__}"
                raise ContractError(said, way_out=_home_of(plugin))
            yield plugin


def _home_of(plugin: object) -> str | None:
    """The hook that a descriptor of another kind belongs to."""
    return next(
        (f"to yield it from {hook}" for hook, kind in KINDS.items() if isinstance(plugin, kind)), None
    )
