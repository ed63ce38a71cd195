"""What became of each plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dmlbench.registry.descriptors import Plugin
from dmlbench.registry.hookspecs import PROJECT

BUILTIN = "builtin"
LOCAL = "local"
"""The namespace of a user's own files."""

Status = Literal["ok", "broken", "invalid", "conflict", "blocked", "unavailable"]


def namespace(distribution: str, point: str) -> str:
    """What stands before the colon of a full id.

    It is the distribution; dmlbench's own further entry points, each of which wraps a library, give their own
    name, so that `pml:circle-loss` is told from ours.

    >>> namespace("acme-losses", "plugin"), namespace("dmlbench", "builtin"), namespace("dmlbench", "pml")
    ('acme-losses', 'dmlbench', 'pml')
    """
    return point if distribution == PROJECT and point not in ("", BUILTIN) else distribution


def names(distribution: str, point: str) -> set[str]:
    """What `DMLBENCH_PLUGINS` and `dmlbench show plugin` may call an entry point."""
    return {point, distribution, namespace(distribution, point), f"{distribution}:{point}"}


@dataclass(frozen=True)
class Entry:
    """One component on offer."""

    plugin: Plugin
    distribution: str
    version: str
    status: Status = "ok"
    detail: str = ""
    """Why it is not ok, in one line."""
    path: Path | None = None
    """The file of a local component; installed ones are imported by name."""
    point: str = ""
    """The entry point that offers it."""

    @property
    def namespace(self) -> str:
        return namespace(self.distribution, self.point)

    @property
    def full_id(self) -> str:
        return f"{self.namespace}:{self.plugin.id}"


@dataclass(frozen=True)
class PluginReport:
    """One entry point of the group `dmlbench`."""

    name: str
    distribution: str
    version: str
    status: Status
    detail: str = ""
    traceback: str = ""
    """From the plugin's first own line on."""
    loads_torch: bool = False
    """Discovery imported torch: slow for everybody, and against the contract of the hooks."""

    @property
    def namespace(self) -> str:
        return namespace(self.distribution, self.name)

    @property
    def names(self) -> set[str]:
        return names(self.distribution, self.name)

    @property
    def at_fault(self) -> bool:
        """Whether somebody has something to mend; what is blocked or lacks an extra is the user's choice."""
        return self.status in ("broken", "invalid", "conflict")

    def __str__(self) -> str:
        return f"{self.distribution} ({self.name}) is {self.status}: {self.detail}"
