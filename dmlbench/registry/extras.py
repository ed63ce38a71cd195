"""Optional packages: whether what a component imports is there, and the command that brings it."""

from __future__ import annotations

import importlib.util
import sys

from dmlbench.registry.descriptors import Plugin


def missing(plugin: Plugin) -> list[str]:
    """The modules in `plugin.imports` that are not installed; nothing is imported to find out."""
    return [name for name in plugin.imports if not _installed(name)]


def _installed(name: str) -> bool:
    if name in sys.modules:  # find_spec refuses modules that were made by hand
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None


def install(plugin: Plugin, distribution: str) -> str:
    """The command that brings what the component imports.

    >>> from dmlbench.registry.descriptors import LossPlugin
    >>> install(LossPlugin(id="x", target="a:x", extra="fast"), "acme")
    'pip install "acme[fast]"'
    """
    if plugin.extra:
        return f'pip install "{distribution}[{plugin.extra}]"'
    return f"install what brings {', '.join(plugin.imports)}"
