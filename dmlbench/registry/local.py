"""A function or class in a file of the user's own, `./file.py:name`, without a package around it."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from dmlbench.errors import ContractError, UsageError
from dmlbench.registry.descriptors import LossPlugin
from dmlbench.registry.report import LOCAL, Entry

LOCAL_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


def local_entry(kind: str, path: Path, attribute: str) -> Entry:
    """The loss called `attribute` in the file.

    Raises `UsageError` for other kinds: what a miner yields or where an augmenter acts is said by a
    descriptor, and a file has none.
    """
    if kind != LossPlugin.kind:
        raise UsageError(
            f"a {kind} cannot be given as a file: only a loss needs no descriptor",
            place=f"{path}:{attribute}",
            way_out=_way_in(kind, attribute),
        )
    if not path.is_file():
        raise UsageError(f"no file {path}", way_out="./my_loss.py:my_loss names a function in a file")
    plugin = LossPlugin(id=kebab(attribute), target=f"{LOCAL}:{attribute}")
    return Entry(plugin, LOCAL, "0", path=path.resolve())


def _way_in(kind: str, attribute: str) -> str:
    if kind == "dataset":
        return "dmlbench list dataset"
    return f"dmlbench new {kind} {kebab(attribute)} makes a package with one"


def import_file(path: Path) -> ModuleType:
    """The file as a module. `ContractError` with file and line when it raises."""
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
            f"the file raises {type(error).__name__}: {error}", place=where(error, path)
        ) from error
    return module


def where(error: BaseException, otherwise: object) -> str:
    """`file:line` that an import stumbled over, the importing machinery left out."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    ours = str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and not f.filename.startswith(ours)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(otherwise)


def kebab(name: str) -> str:
    """`MyLoss` and `my_loss` as the id `my-loss`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").strip("-").lower()
