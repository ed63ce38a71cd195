"""Whether a plugin was written for this major version of the plugin API: `DMLBENCH_API = 1` in its module."""

from __future__ import annotations

import ast
from pathlib import Path

from dmlbench.errors import ContractError
from dmlbench.registry.hookspecs import API_VERSION

DECLARATION = "DMLBENCH_API"


def refuse_foreign(declared: object, distribution: str) -> None:
    """`ContractError` when `declared`, the value of `DMLBENCH_API` or None, is another major version."""
    ours = API_VERSION[0]
    if declared is None or (type(declared) is int and declared == ours):
        return
    if type(declared) is not int:
        raise ContractError(
            f"{DECLARATION} is {declared!r}, not a whole number", way_out=f"{DECLARATION} = {ours}"
        )
    raise ContractError(
        f"written for version {declared} of the plugin API; this dmlbench has version {ours}",
        way_out=f"pip install --upgrade {distribution if declared < ours else 'dmlbench'}",
    )


def declared_in(file: Path) -> object:
    """What the source of a module that cannot be imported declares; None when it declares nothing.

    A plugin of another major version mostly stumbles over a name that our API does not have, before its
    declaration is reached.
    """
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None  # unreadable: the import's own error says more
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value))
            ) if name == DECLARATION:
                return value
    return None
