"""faiss, which clusters and searches; an extra."""

from __future__ import annotations

import importlib
from typing import Any

from dmlbench.errors import MissingPackageError


def faiss() -> Any:
    """The module; `MissingPackageError` with the extra that brings it."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise MissingPackageError(
            "faiss is not installed", way_out="pip install 'dmlbench[faiss-cpu]'"
        ) from error
