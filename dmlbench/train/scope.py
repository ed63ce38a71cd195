"""Lazy values by name: each is computed at most once per scope and shared by all who ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Lazy:
    """A value that is computed when it is first asked for."""

    __slots__ = ("compute",)

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = compute


class Scope:
    """Names visible at one moment; what is not here is looked up in `parent`."""

    __slots__ = ("_parent", "_values")

    def __init__(self, parent: Scope | None = None, values: Mapping[str, Any] | None = None) -> None:
        self._parent = parent
        self._values = dict(values or {})

    def child(self, **values: Any) -> Scope:
        """A scope inside this one; `values` may be `Lazy`."""
        return Scope(self, values)

    def set(self, name: str, value: Any) -> None:
        self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            if self._parent is None:
                raise KeyError(name)
            return self._parent[name]
        value = self._values[name]
        if isinstance(value, Lazy):
            value = self._values[name] = value.compute()
        return value
