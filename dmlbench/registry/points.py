"""The entry points of the installed distributions that stand in our group."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint

from dmlbench.registry.descriptors import ID_PATTERN
from dmlbench.registry.hookspecs import PROJECT
from dmlbench.registry.report import LOCAL, PluginReport, names

GROUP = "dmlbench"
SWITCH = "DMLBENCH_PLUGINS"


@dataclass(frozen=True)
class Point:
    """An entry point, and who offers it. `fault` says why it cannot even be read."""

    entry: EntryPoint
    distribution: str
    version: str
    fault: str = ""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def module(self) -> str:
        return self.entry.value.partition(":")[0].strip()

    @property
    def blocked(self) -> bool:
        """`DMLBENCH_PLUGINS=none` keeps dmlbench's own plugins alone; `a,b` adds those that are called so."""
        wanted = switched()
        if not wanted or self.distribution == PROJECT:
            return False
        return not names(self.distribution, self.name) & {*wanted, *map(normal, wanted)}


def switched() -> set[str]:
    """The names in `DMLBENCH_PLUGINS`; set but empty is as good as not set."""
    return {name.strip() for name in os.environ.get(SWITCH, "").split(",")} - {""}


def absent_from(reports: Iterable[PluginReport]) -> list[str]:
    """The names in `DMLBENCH_PLUGINS` that no installed plugin has."""
    known = {name for report in reports for name in report.names}
    return sorted(name for name in switched() - {"none"} if not {name, normal(name)} & known)


def normal(name: str) -> str:
    """A distribution's name in its one spelling.

    >>> normal("Acme__Losses")
    'acme-losses'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def points() -> Iterator[Point]:
    """Every entry point of our group, each once.

    Of two distributions of one name in two folders the first on the path counts, as for imports.
    """
    folders: dict[str, str] = {}
    seen = set()
    for distribution in importlib.metadata.distributions():
        entries, fault = _entries(distribution)
        if not entries:
            continue
        # A half-removed distribution may have lost its metadata.
        name = normal(distribution.metadata["Name"] or "unnamed")
        version = distribution.metadata["Version"] or "0"
        folder = str(distribution.locate_file(""))
        if folders.setdefault(name, folder) != folder:
            continue
        for entry in entries:
            if (name, entry.name, entry.value) not in seen:
                seen.add((name, entry.name, entry.value))
                yield Point(entry, name, version, fault or _refused(name))


def _refused(name: str) -> str:
    """Why a distribution of that name cannot stand before the colon of an id."""
    if name == LOCAL:
        return f"{LOCAL!r} stands for files of one's own; a distribution needs another name"
    return "" if re.fullmatch(ID_PATTERN, name) else f"{name!r} is not of the form {ID_PATTERN}"


def _entries(distribution: Distribution) -> tuple[list[EntryPoint], str]:
    """The distribution's entry points in our group, and what is wrong with the file that lists them."""
    try:
        return [entry for entry in distribution.entry_points if entry.group == GROUP], ""
    except (TypeError, ValueError) as error:
        if not isinstance(error, UnicodeError):
            text = distribution.read_text("entry_points.txt") or ""
            if f"[{GROUP}]" not in text:
                return [], ""  # no plugin of ours, so none of our business
        unread = EntryPoint(name="?", value="?", group=GROUP)
        return [unread], f"entry_points.txt cannot be read: {type(error).__name__}: {error}"
