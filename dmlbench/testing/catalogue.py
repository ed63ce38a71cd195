"""Every check by its id: whom it concerns, why it matters, and what has to hold before it means anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmlbench.registry.report import Entry

LOSSES = frozenset({"loss", "regulariser"})
NETWORKS = frozenset({"backbone", "head"})
TRAINED = frozenset({*LOSSES, *NETWORKS, "combiner", "listener", "sampler", "miner", "augmenter"})
"""Everything that has a place in a recipe."""


@dataclass(frozen=True)
class Check:
    """One promise. `run` takes the subject and returns, or raises `CheckFailed` or `NotApplicable`."""

    id: str
    roles: frozenset[str]
    reason: str
    after: tuple[str, ...]
    """Checks without which this one proves nothing: while one of them fails, this one is skipped.

    Those that the component's role does not have are passed over.
    """
    run: Callable[[Any], None]


CHECKS: dict[str, Check] = {}


def promise(
    name: str, roles: Iterable[str], reason: str, *, after: tuple[str, ...] = ("build",)
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Enter a function into the catalogue as the check `name` of components in these `roles`."""

    def enter(run: Callable[[Any], None]) -> Callable[[Any], None]:
        if name in CHECKS:
            raise ValueError(f"two checks are called {name}")
        CHECKS[name] = Check(name, frozenset(roles), reason, after, run)
        return run

    return enter


def role_of(entry: Entry) -> str:
    """`loss`, `regulariser`, `head`, …: the role where a kind has several, the kind elsewhere."""
    return str(getattr(entry.plugin, "role", entry.plugin.kind))


def checks_for(entry: Entry) -> list[Check]:
    """The checks of this entry's role, in the order in which they are told of."""
    return [check for check in CHECKS.values() if role_of(entry) in check.roles]
