"""Discovery over `importlib.metadata`, one plugin at a time, so that a broken one costs only itself.

pluggy's own `load_setuptools_entrypoints` stops at the first plugin that raises, drops the second of two
equal names and lets a misspelt hook pass.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

import pluggy

from dmlbench.errors import ContractError
from dmlbench.registry.conflicts import mark_conflicts, reported
from dmlbench.registry.descriptors import Plugin
from dmlbench.registry.extras import install, missing
from dmlbench.registry.hooks import offered
from dmlbench.registry.points import SWITCH, Point, points
from dmlbench.registry.report import Entry, PluginReport, Status
from dmlbench.registry.version import DECLARATION, declared_in, refuse_foreign

_FOLDERS = [str(Path(file).parent) for file in (__file__, pluggy.__file__, importlib.__file__) if file]
#: Where the frames of a traceback lie that say nothing of a plugin.
_MACHINERY = (*_FOLDERS, "<frozen importlib")


def discover() -> tuple[list[PluginReport], list[Entry]]:
    """Load every installed plugin. Never raises for a plugin's fault; the reports say what happened."""
    reports: list[PluginReport] = []
    entries: list[Entry] = []
    for point in sorted(points(), key=lambda point: (point.distribution, point.name)):
        report, found = _load(point)
        reports.append(report)
        entries += found
    entries = mark_conflicts(entries)
    return [reported(report, entries) for report in reports], entries


def _load(point: Point) -> tuple[PluginReport, list[Entry]]:
    had_torch = "torch" in sys.modules

    def report(status: Status, detail: str = "", error: BaseException | None = None) -> PluginReport:
        loads_torch = not had_torch and "torch" in sys.modules
        trace = _trace(error) if error else ""
        return PluginReport(point.name, point.distribution, point.version, status, detail, trace, loads_torch)

    if point.blocked:
        return report("blocked", f"{SWITCH}={os.environ[SWITCH]}"), []
    if point.fault:
        return report("invalid", point.fault), []
    try:
        plugins = _plugins(point)
    except KeyboardInterrupt:
        raise
    except ContractError as error:
        return report("invalid", error.one_line(), error), []
    except pluggy.PluginValidationError as error:
        return report("invalid", " ".join(str(error).split()), error), []
    except BaseException as error:  # a plugin may even call sys.exit at import
        try:
            refuse_foreign(_declared(point, error), point.distribution)
        except ContractError as foreign:
            return report("invalid", foreign.one_line(), error), []
        return report("broken", _line(error), error), []
    return report("ok"), [_entry(plugin, point) for plugin in plugins]


def _plugins(point: Point) -> list[Plugin]:
    loaded = point.entry.load()
    declared = getattr(loaded, DECLARATION, None)
    if declared is None:  # the entry point may name an object inside the module
        declared = getattr(sys.modules[point.module], DECLARATION, None)
    refuse_foreign(declared, point.distribution)
    return offered(point.name, loaded)


def _entry(plugin: Plugin, point: Point) -> Entry:
    entry = Entry(plugin, point.distribution, point.version, point=point.name)
    absent = missing(plugin)
    if not absent:
        return entry
    detail = f"needs {', '.join(absent)}: {install(plugin, point.distribution)}"
    return Entry(plugin, point.distribution, point.version, "unavailable", detail, point=point.name)


def _declared(point: Point, error: BaseException) -> object:
    """The API version in the module whose import raised `error`, None when there is none."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == point.module and "__file__" in frame.f_globals:
            return declared_in(Path(frame.f_globals["__file__"]))
    return None


def _line(error: BaseException) -> str:
    """`TypeError: what it says`, the first line of it."""
    try:
        text = str(error)
    except Exception as failure:
        text = f"(its message raises {type(failure).__name__})"
    return f"{type(error).__name__}: {next(iter(text.splitlines()), '')}"


def _trace(error: BaseException) -> str:
    """The traceback from the plugin's first own line on; empty when none of its code took part."""
    start = error.__traceback__
    while start and _is_machinery(start):
        start = start.tb_next
    if start is None and not isinstance(error, SyntaxError):
        return ""
    return "".join(traceback.format_exception(type(error), error, start)).rstrip()


def _is_machinery(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_MACHINERY)
