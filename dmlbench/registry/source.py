"""What a component's source says, whatever it looks like.

A run's key holds the source of every component, so that changed code is never taken for a done run. Comments,
docstrings and layout do not change what code does, so they do not count; nor does the Python that parses it.
"""

from __future__ import annotations

import ast
import hashlib
from typing import Any

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_digest(source: bytes) -> str:
    """`sha256:…` of Python source, equal for sources that differ in layout and documentation only.

    >>> source_digest(b"def f(x): return x") == source_digest(b"def f(x):  # same\\n    return (x)")
    True
    """
    return "sha256:" + hashlib.sha256(repr(_form(ast.parse(source))).encode()).hexdigest()


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
