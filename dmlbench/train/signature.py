"""Reading what a component asks for from its signature, once, when it is built.

Every mistake is an error here and never in step 4,000.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dmlbench.errors import ContractError, nearest
from dmlbench.train.names import IN_PLACE_OF, NAMES, READABLE
from dmlbench.train.scope import Scope


@dataclass(frozen=True)
class Request:
    """What one callable asks for: (its argument, our name) pairs."""

    arguments: tuple[tuple[str, str], ...]

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.arguments}

    def values(self, scope: Scope) -> dict[str, Any]:
        return {argument: scope[name] for argument, name in self.arguments}


def read_request(
    function: Callable[..., Any],
    moment: str,
    owner: str,
    *,
    present: Collection[str] | None = None,
    roles: Collection[str] = (),
    reads: Mapping[str, str] | None = None,
) -> Request:
    """What `function` asks for at `moment` (a key of `READABLE`), for the component called `owner`.

    `present`: names that this recipe provides (None: do not check). `roles`: row columns that the sampler
    provides, readable wherever rows are. `reads`: foreign argument -> our name.

    Raises `ContractError` with file, line, nearest name and who could provide it for: an unknown name (even
    one with a default), a name that does not exist at this moment, one that nothing provides, `*args`.
    """
    reads = reads or {}
    place = location(function)
    what = f"{owner}.{moment}" if moment != "__init__" else f"{owner}'s constructor"
    arguments = []
    for parameter in parameters_of(function):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ContractError(
                f"{what} takes {parameter}, which hides what it reads",
                place=place,
                way_out="name the arguments, or map a foreign signature with reads={…} in the descriptor",
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ContractError(
                f"{what}: {parameter.name!r} is positional-only; core passes by name", place=place
            )
        name = reads.get(parameter.name, parameter.name)
        if not (name in roles and "rows" in READABLE[moment]):
            _check(name, parameter, moment, what, place, present)
        arguments.append((parameter.name, name))
    return Request(tuple(arguments))


def _check(
    name: str,
    parameter: inspect.Parameter,
    moment: str,
    what: str,
    place: str,
    present: Collection[str] | None,
) -> None:
    readable = {known for known, entry in NAMES.items() if entry.scope in READABLE[moment]}
    if name not in NAMES:
        setting = parameter.default is not parameter.empty
        raise ContractError(
            f"{what} asks for {name!r}, which is no name that core knows",
            place=place,
            # What has a default is more often a misplaced setting than a misspelt name.
            near=nearest(name, readable, cutoff=0.75 if setting else 0.6),
            way_out=(
                f"a setting stands after a '*': (…, *, {name}=…)"
                if setting
                else f"names here: {', '.join(sorted(readable))}"
            ),
        )
    if name not in readable:
        moments = [m for m, scopes in READABLE.items() if NAMES[name].scope in scopes]
        raise ContractError(
            f"{what} asks for {name!r} ({NAMES[name].doc}), which does not exist at this moment",
            place=place,
            way_out=f"it can be read in: {', '.join(moments)}",
        )
    if present is not None and name not in present and name in IN_PLACE_OF:
        other = IN_PLACE_OF[name]
        random = "the sampler dmlbench:random; " if moment == "draw" else ""
        raise ContractError(
            f"{what} asks for {name!r} ({NAMES[name].doc}), but here images have several labels and no class",
            place=place,
            way_out=f"{random}{other!r} in its place ({NAMES[other].doc}), or a protocol with classes",
        )
    if present is not None and name not in present:
        raise ContractError(
            f"{what} asks for {name!r} ({NAMES[name].doc}), which nothing in this recipe provides",
            place=place,
            way_out=NAMES[name].way_out or None,
        )


def entry_point(component: Any) -> Callable[..., Any]:
    """The callable whose signature speaks for a component: `forward` of a module, the function itself."""
    if isinstance(component, nn.Module):
        return getattr(component, "_orig_mod", component).forward
    return component


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that are names: all of a bound method, those before the `*` of a function or class."""
    if inspect.isclass(function):
        if function.__init__ in (object.__init__, nn.Module.__init__):
            return []
        parameters = list(inspect.signature(function.__init__).parameters.values())[1:]
    else:
        parameters = list(inspect.signature(function).parameters.values())
    if inspect.ismethod(function):
        return parameters
    return [parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]


def location(function: Callable[..., Any]) -> str:
    """`file:line` of a function or class, for errors."""
    plain = inspect.unwrap(function.__init__ if inspect.isclass(function) else function)
    plain = getattr(plain, "__func__", plain)
    code = getattr(plain, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(plain)
