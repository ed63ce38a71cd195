"""Looking components up by name."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from dmlbench.errors import ContractError, MissingPackageError, UsageError, nearest
from dmlbench.registry.extras import install, missing
from dmlbench.registry.loader import discover
from dmlbench.registry.local import LOCAL_FILE as LOCAL_FILE
from dmlbench.registry.local import import_file, local_entry, where
from dmlbench.registry.local import kebab as kebab
from dmlbench.registry.report import LOCAL as LOCAL
from dmlbench.registry.report import Entry, PluginReport
from dmlbench.registry.source import code_digest


class Registry:
    """Every component on offer, by kind and id; `reports` says what became of each plugin."""

    def __init__(self, reports: list[PluginReport], entries: list[Entry]) -> None:
        self.reports = reports
        self.entries = entries

    def of_kind(self, kind: str) -> list[Entry]:
        """The entries of one kind, sorted by id."""
        found = [entry for entry in self.entries if entry.plugin.kind == kind]
        return sorted(found, key=lambda entry: (entry.plugin.id, entry.full_id))

    def find(self, kind: str, name: str, *, place: object | None = None, home: str = "") -> Entry:
        """The entry called `name`: `namespace:id`, a unique `id`, or `path/file.py:attribute`.

        A short id that several namespaces offer is meant as `home`'s, the namespace that says it.

        Raises `UsageError` for a name that is unknown, ambiguous or cannot be used, with the nearest one, and
        `MissingPackageError` for a component whose extra is not installed.
        """
        if local := LOCAL_FILE.fullmatch(name):
            return local_entry(kind, Path(local["path"]), local["name"])
        offered = self.of_kind(kind)
        found = [entry for entry in offered if name in (entry.plugin.id, entry.full_id)]
        if not found:
            raise UsageError(
                f"no {kind} named {name!r}" + self.missed(name),
                place=place,
                near=_near(name, offered),
                way_out=f"dmlbench list {kind}",
            )
        found = [entry for entry in found if entry.namespace == home] or found
        if len({entry.full_id for entry in found}) > 1:
            several = {entry.distribution for entry in found}
            raise UsageError(
                f"{kind} {name!r} is offered by several {'distributions' if len(several) > 1 else 'plugins'}",
                place=place,
                way_out=" or ".join(entry.full_id for entry in found),
            )
        return _usable(kind, found, place)

    def refuse_faults(self) -> None:
        """`UsageError` that names every plugin which is broken, invalid or in conflict."""
        if faults := [str(report) for report in self.reports if report.at_fault]:
            count = f"{len(faults)} plugins are" if len(faults) > 1 else "1 plugin is"
            raise UsageError(f"{count} not ok: {'; '.join(faults)}", way_out="dmlbench show plugin NAME")

    def offered_by(self, report: PluginReport) -> dict[str, list[str]]:
        """The ids of what a plugin offers, by kind."""
        offered: dict[str, list[str]] = {}
        for entry in self.entries:
            if (entry.distribution, entry.point) == (report.distribution, report.name):
                offered.setdefault(entry.plugin.kind, []).append(entry.plugin.id)
        return offered

    def missed(self, name: str) -> str:
        """What to add to "no such name" when a plugin that did not load may be why; else nothing."""
        said = name.partition(":")[0]
        own = [r for r in self.reports if r.status != "ok" and said in (r.namespace, r.distribution)]
        return "".join(f"; {report} (dmlbench show plugin {report.namespace})" for report in own)


def _near(name: str, offered: list[Entry]) -> str | None:
    """The offered name most like `name`; the same id in another namespace before all."""
    elsewhere = [entry.full_id for entry in offered if entry.plugin.id == name.rpartition(":")[2]]
    known = {entry.plugin.id for entry in offered} | {entry.full_id for entry in offered}
    return " or ".join(elsewhere) or nearest(name, known)


def _usable(kind: str, found: list[Entry], place: object | None) -> Entry:
    """The one entry of a full id, unless its status forbids it.

    A conflict over the short id alone does not: who got here has said which one.
    """
    entry = found[0]
    if entry.status == "unavailable":
        raise MissingPackageError(
            f"{kind} {entry.full_id!r} needs {', '.join(missing(entry.plugin))}, which is not installed",
            place=place,
            way_out=install(entry.plugin, entry.distribution),
        )
    if entry.status != "ok" and not (entry.status == "conflict" and len(found) == 1):
        raise UsageError(f"{kind} {entry.full_id!r} is {entry.status}: {entry.detail}", place=place)
    return entry


def talking() -> contextlib.AbstractContextManager[Any]:
    """What plugin code prints inside is talk: it goes to standard error, standard output is for data."""
    return contextlib.redirect_stdout(sys.stderr)


@functools.cache
def registry() -> Registry:
    """The process's registry; plugins are discovered on the first call."""
    with talking():
        return Registry(*discover())


def load_target(entry: Entry) -> Any:
    """Import what a descriptor points at.

    Raises `MissingPackageError` naming the extra when an optional package is not installed, and
    `ContractError` when the module or the attribute is not there, or is neither a function nor a class.
    """
    module_name, _, attribute = entry.plugin.target.partition(":")
    try:
        with talking():
            module = import_file(entry.path) if entry.path else importlib.import_module(module_name)
    except ContractError:
        raise
    except ImportError as error:
        raise _import_error(entry, error) from error
    except (Exception, SystemExit) as error:
        raise ContractError(
            f"{entry.plugin.kind} {entry.full_id!r} cannot be imported: {type(error).__name__}: {error}",
            place=where(error, entry.plugin.target),
        ) from error
    if not hasattr(module, attribute):
        raise ContractError(
            f"{entry.plugin.kind} {entry.full_id!r}: {entry.path or module_name} has no {attribute!r}",
            place=module.__file__,
            near=nearest(attribute, dir(module)),
        )
    target = getattr(module, attribute)
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        raise ContractError(
            f"{entry.plugin.kind} {entry.full_id!r}: {attribute} is a {type(target).__name__}",
            place=module.__file__,
            way_out="a target names a function or a class; core builds it",
        )
    return target


def digest_of(entry: Entry) -> str:
    """The digest of the code that defines the component; see `code_digest`."""
    target = inspect.unwrap(load_target(entry))
    return code_digest(target.__module__, Path(inspect.getfile(target)))


def _import_error(entry: Entry, error: ImportError) -> Exception:
    what = f"{entry.plugin.kind} {entry.full_id!r} cannot be imported: {error}"
    # With its imports all there, an extra would change nothing.
    if entry.plugin.extra and (missing(entry.plugin) or not entry.plugin.imports):
        return MissingPackageError(what, way_out=install(entry.plugin, entry.distribution))
    return ContractError(what, place=entry.plugin.target)
