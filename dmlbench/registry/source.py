"""What a component's source says, whatever it looks like.

A run's key holds the source of every component, so that changed code is never taken for a done run. Comments,
docstrings and layout do not change what code does, so they do not count; nor does the Python that parses it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_digest(source: bytes) -> str:
    """`sha256:…` of Python source, equal for sources that differ in layout and documentation only.

    >>> source_digest(b"def f(x): return x") == source_digest(b"def f(x):  # same\\n    return (x)")
    True
    """
    return "sha256:" + hashlib.sha256(repr(_form(ast.parse(source))).encode()).hexdigest()


def code_digest(module: str, file: Path) -> str:
    """`source_digest` of a component's file and of all that it imports from its own top-level package.

    A file that imports nothing of its own has its plain digest.
    """
    sources = {module: file.read_bytes()}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        for imported, place in _own_imports(name, sources[name]):
            if imported not in sources:
                sources[imported] = place.read_bytes()
                waiting.append(imported)
    digests = {name: source_digest(source) for name, source in sources.items()}
    if len(digests) == 1:
        return digests[module]
    return "sha256:" + hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _own_imports(module: str, source: bytes) -> Iterator[tuple[str, Path]]:
    """Modules, with their files, that `module` names in an import, of the package at the top of its name."""
    top, dot, _ = module.partition(".")
    if not dot:
        return
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.rsplit(".", node.level)[0] if node.level else ""
            base = ".".join(filter(None, (package, node.module)))
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith(f"{top}.") and (place := _file_of(name)) is not None:
                yield name, place


def _file_of(module: str) -> Path | None:
    """The file of a module; None for a package, whose file says what it offers, and for what is no module."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # an attribute of a module
        return None
    if spec is None or spec.submodule_search_locations is not None or not spec.has_location:
        return None
    return Path(str(spec.origin))


def _form(node: Any) -> Any:
    """A syntax tree as nested tuples. Empty fields are left out: releases of Python differ in those."""
    if isinstance(node, list):
        return tuple(_form(item) for item in node)
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return (
        type(node).__name__,
        *((name, _form(value)) for name, value in fields.items() if value not in (None, [])),
    )
