"""How a recipe, a track or a task names a component: an id and its settings."""

from __future__ import annotations

from pydantic import Field

from dmlbench.spec.model import ComponentId, Setting, Spec


class Component(Spec):
    """A plugin's id (or `./file.py:name` for a local file) and the settings that differ from its defaults."""

    component: ComponentId | str
    settings: dict[str, Setting] = Field(default_factory=dict)
