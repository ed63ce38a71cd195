"""Discovery over `importlib.metadata`, one plugin at a time, so that a broken one costs only itself.

pluggy's own `load_setuptools_entrypoints` stops at the first plugin that raises, drops the second of two
equal names and lets a misspelt hook pass.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace

import pluggy

from dmlbench.errors import ContractError, nearest
from dmlbench.registry import hookspecs
from dmlbench.registry.descriptors import KINDS, Plugin
from dmlbench.registry.report import Entry, PluginReport, Status

GROUP = "dmlbench"
BUILTIN = "builtin"
PROJECT = hookspecs.PROJECT
SWITCH = "DMLBENCH_PLUGINS"


def discover() -> tuple[list[PluginReport], list[Entry]]:
    """Load every installed plugin. Never raises for a plugin's fault; the reports say what happened."""
    reports: list[PluginReport] = []
    entries: list[Entry] = []
    for point, distribution, version in _entry_points():
        report, found = _load(point, distribution, version)
        reports.append(report)
        entries += found
    return reports, _mark_conflicts(entries)


def _entry_points() -> Iterator[tuple[importlib.metadata.EntryPoint, str, str]]:
    seen = set()
    for distribution in importlib.metadata.distributions():
        for point in distribution.entry_points:
            if point.group != GROUP:
                continue
            # A half-removed distribution may have lost its metadata.
            name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "unnamed").lower()
            # An editable install can be listed twice, once by each folder on the path.
            if (name, point.name, point.value) not in seen:
                seen.add((name, point.name, point.value))
                yield point, name, distribution.metadata["Version"] or "0"


def _blocked(point: importlib.metadata.EntryPoint, distribution: str) -> bool:
    """`DMLBENCH_PLUGINS=none` keeps the built-ins alone; `a,b` adds these entry points or distributions."""
    switch = os.environ.get(SWITCH)
    if switch is None or (point.name, distribution) == (BUILTIN, PROJECT):
        return False
    return not {point.name, distribution} & {name.strip() for name in switch.split(",")}


def _load(
    point: importlib.metadata.EntryPoint, distribution: str, version: str
) -> tuple[PluginReport, list[Entry]]:
    had_torch = "torch" in sys.modules

    def report(status: Status, detail: str = "", trace: str = "") -> PluginReport:
        loads_torch = not had_torch and "torch" in sys.modules
        return PluginReport(point.name, distribution, version, status, detail, trace, loads_torch)

    if _blocked(point, distribution):
        return report("blocked", f"{SWITCH}={os.environ[SWITCH]}"), []
    try:
        module = point.load()
        wrong = _misspelt_hook(module)
        if wrong:
            return report("invalid", wrong), []
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(module, name=point.name)
        manager.check_pending()
        plugins = [p for hook, kind in KINDS.items() for p in _call(manager, hook, kind)]
    except KeyboardInterrupt:
        raise
    except (ContractError, pluggy.PluginValidationError) as error:
        return report("invalid", " ".join(str(error).split()), traceback.format_exc()), []
    except BaseException as error:  # a plugin may even call sys.exit at import
        first = next(iter(str(error).splitlines()), "")
        return report("broken", f"{type(error).__name__}: {first}", traceback.format_exc()), []
    return report("ok"), [Entry(plugin, distribution, version) for plugin in plugins]


def _misspelt_hook(module: object) -> str | None:
    """What pluggy passes over in silence: a name that is no hook, a hook without its mark."""
    for name in dir(module):
        function = getattr(module, name, None)
        marked = getattr(function, f"{hookspecs.PROJECT}_impl", None) is not None
        if not callable(function) or not (marked or name.startswith("dmlbench_")):
            continue
        if name not in KINDS:
            return f"{name} is no hook; nearest: {nearest(name, KINDS) or ', '.join(KINDS)}"
        if not marked:
            return f"{name} is not marked with @hookimpl"
    return None


def _call(manager: pluggy.PluginManager, hook: str, kind: type[Plugin]) -> Iterator[Plugin]:
    for answer in getattr(manager.hook, hook)():
        for plugin in answer:
            if not isinstance(plugin, kind):
                raise ContractError(f"{hook} yielded a {type(plugin).__name__}, not a {kind.__name__}")
            yield plugin


def _mark_conflicts(entries: list[Entry]) -> list[Entry]:
    """Two of one kind and full id: neither is used."""
    keys = [(entry.plugin.kind, entry.full_id) for entry in entries]
    return [
        replace(entry, status="conflict", detail=f"{key[1]} is offered {keys.count(key)} times")
        if keys.count(key) > 1
        else entry
        for entry, key in zip(entries, keys, strict=True)
    ]
