"""Finding state that a checkpoint would miss.

A component's state is what `state_dict()` returns. At every checkpoint core compares all plain attributes
(and a function's closure and defaults) with what they were before the first step.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from dmlbench.errors import ContractError
from dmlbench.train.calling import judging
from dmlbench.train.component import Built
from dmlbench.train.state import State

_TORCH_OWN = set(nn.Module().__dict__) | {"_is_full_backward_hook", "_values"}


def fingerprints(components: dict[str, Built]) -> dict[str, str]:
    """A digest of every attribute, by `component.attribute`, that `state_dict()` does not cover."""
    found = {}
    for name, built in components.items():
        with judging(built, "audit"):
            found |= {f"{name}.{attribute}": _digest(value) for attribute, value in _hidden(built.object)}
    return found


def audit(before: dict[str, str], components: dict[str, Built]) -> None:
    """Raise `ContractError` naming each attribute that changed since `before` was taken."""
    now = fingerprints(components)
    moved = sorted(name for name in now if now[name] != before.get(name))
    if moved:
        raise ContractError(
            f"changed in training, but not in any checkpoint: {', '.join(moved)}",
            way_out="make it a buffer, or a field of dmlbench.api.State(…)",
        )


def _hidden(component: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(component, nn.Module):
        function = getattr(component, "func", component)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield f"{name} (closure)", cell.cell_contents
        yield "defaults", (function.__defaults__, function.__kwdefaults__)
        return
    for path, module in component.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(module, State):
            continue
        for name, value in vars(module).items():
            if name not in _TORCH_OWN:
                yield prefix + name, value
        for name in module._non_persistent_buffers_set:
            yield f"{prefix}{name} (not persistent)", module._buffers[name]


def _digest(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, value, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, within: set[int]) -> None:
    """Hash by structure, as pickling would take an object apart; `within` stops at cycles."""
    digest.update(type(value).__qualname__.encode())
    if isinstance(value, str | bytes | int | float | complex | bool | type(None)):
        digest.update(repr(value).encode())
    elif isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
        digest.update(getattr(value, "__qualname__", value.__name__).encode())
    elif id(value) not in within:
        for part in _parts(value):
            _feed(digest, part, within | {id(value)})


def _parts(value: Any) -> Iterable[Any]:
    """What an object is made of."""
    if isinstance(value, torch.Tensor):
        data = value.detach().cpu().contiguous().reshape(-1)
        return (
            str(value.dtype),
            tuple(value.shape),
            data.view(torch.uint8).numpy().tobytes() if len(data) else b"",
        )
    if isinstance(value, torch.Generator):
        return (value.get_state(),)
    if isinstance(value, nn.Module):
        return (value.state_dict(),)
    if isinstance(value, dict):
        return [part for item in value.items() for part in item]
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    try:
        reduced = value.__reduce_ex__(4)
    except TypeError:  # a lock, an open file: nothing that training could remember in
        return ()
    return [list(part) if isinstance(part, Iterator) else part for part in reduced] if reduced else ()
