"""What became of each plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dmlbench.registry.descriptors import Plugin

Status = Literal["ok", "broken", "invalid", "conflict", "blocked", "unavailable"]


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

    @property
    def full_id(self) -> str:
        return f"{self.distribution}:{self.plugin.id}"


@dataclass(frozen=True)
class PluginReport:
    """One entry point of the group `dmlbench`."""

    name: str
    distribution: str
    version: str
    status: Status
    detail: str = ""
    traceback: str = ""
    loads_torch: bool = False
    """Discovery imported torch: slow for everybody, and against the contract of the hooks."""
