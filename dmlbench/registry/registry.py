"""Looking components up by name."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from dmlbench.errors import ContractError, MissingPackageError, UsageError, nearest
from dmlbench.registry.descriptors import LossPlugin
from dmlbench.registry.loader import discover
from dmlbench.registry.report import Entry, PluginReport
from dmlbench.registry.source import source_digest

LOCAL = "local"
LOCAL_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


class Registry:
    """Every component on offer, by kind and id; `reports` says what became of each plugin."""

    def __init__(self, reports: list[PluginReport], entries: list[Entry]) -> None:
        self.reports = reports
        self.entries = entries

    def of_kind(self, kind: str) -> list[Entry]:
        """The entries of one kind, sorted by id."""
        found = [entry for entry in self.entries if entry.plugin.kind == kind]
        return sorted(found, key=lambda entry: (entry.plugin.id, entry.distribution))

    def find(self, kind: str, name: str, *, place: object | None = None, home: str = "") -> Entry:
        """The entry called `name`: `distribution:id`, a unique `id`, or `path/file.py:attribute`.

        A short id that several distributions offer is meant as `home`'s, the distribution that says it.

        Raises `UsageError` for a name that is unknown, ambiguous or not ok, with the nearest one.
        """
        if local := LOCAL_FILE.fullmatch(name):
            return _local(kind, Path(local["path"]), local["name"])
        offered = self.of_kind(kind)
        found = [entry for entry in offered if name in (entry.plugin.id, entry.full_id)]
        if not found:
            raise UsageError(
                f"no {kind} named {name!r}",
                place=place,
                near=nearest(name, {e.plugin.id for e in offered} | {e.full_id for e in offered}),
                way_out=f"dmlbench list {kind}",
            )
        found = [entry for entry in found if entry.distribution == home] or found
        if len({entry.distribution for entry in found}) > 1:
            raise UsageError(
                f"{kind} {name!r} is offered by several distributions",
                place=place,
                way_out=" or ".join(entry.full_id for entry in found),
            )
        entry = found[0]
        if entry.status != "ok":
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
            module = _import_file(entry.path) if entry.path else importlib.import_module(module_name)
    except ContractError:
        raise
    except ImportError as error:
        raise _import_error(entry, error) from error
    except Exception as error:
        raise ContractError(
            f"{entry.plugin.kind} {entry.full_id!r} cannot be imported: {type(error).__name__}: {error}",
            place=_where(error, entry.plugin.target),
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
    """The digest of the file that defines the component; see `source_digest`."""
    return source_digest(Path(inspect.getfile(inspect.unwrap(load_target(entry)))).read_bytes())


def _import_error(entry: Entry, error: ImportError) -> Exception:
    what = f"{entry.plugin.kind} {entry.full_id!r} cannot be imported: {error}"
    if entry.plugin.extra:
        return MissingPackageError(what, way_out=f'pip install "{entry.distribution}[{entry.plugin.extra}]"')
    return ContractError(what, place=entry.plugin.target)


def _local(kind: str, path: Path, attribute: str) -> Entry:
    if kind != LossPlugin.kind:
        raise UsageError(f"a {kind} cannot be given as a file", way_out=f"dmlbench list {kind}")
    if not path.is_file():
        raise UsageError(f"no file {path}", way_out="./my_loss.py:my_loss names a function in a file")
    plugin = LossPlugin(id=kebab(attribute), target=f"{LOCAL}:{attribute}")
    return Entry(plugin, LOCAL, "0", path=path.resolve())


def _import_file(path: Path) -> ModuleType:
    # A name made from the whole path, so that two files may share a stem.
    name = "dmlbench_local_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ContractError("not a Python file", place=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ContractError(
            f"the file raises {type(error).__name__}: {error}", place=_where(error, path)
        ) from error
    return module


def _where(error: BaseException, otherwise: object) -> str:
    """`file:line` that an import stumbled over, the importing machinery left out."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(otherwise)


def kebab(name: str) -> str:
    """`MyLoss` and `my_loss` as the id `my-loss`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").strip("-").lower()
