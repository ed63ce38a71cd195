"""The component that is checked, and what several checks want to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import dmlbench.testing.checks  # noqa: F401  (enters every check into the catalogue)
from dmlbench.data.store import Prepared
from dmlbench.registry.registry import load_target, registry
from dmlbench.registry.report import Entry
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.components import components_of
from dmlbench.spec.run import RunSpec
from dmlbench.testing import surroundings
from dmlbench.testing.case import Case, NotApplicable
from dmlbench.testing.catalogue import checks_for, role_of
from dmlbench.testing.data import prepared
from dmlbench.testing.furniture import FURNITURE, offering
from dmlbench.testing.twin import Twin
from dmlbench.train.loop import Trainer
from dmlbench.train.recipe import Recipe


class Subject:
    """One entry with settings. Whatever a check builds, it builds anew; what all may share is cached."""

    def __init__(self, entry: Entry, settings: Mapping[str, Any] | None = None) -> None:
        self.entry = entry
        self.settings = dict(settings or {})
        self.role = role_of(entry)
        self.slot = surroundings.slot_of(entry)
        self.scale = surroundings.scale_of(entry)
        self.entries = (*FURNITURE, entry)
        self.outcomes: dict[str, Exception | None] = {}
        self.cases = {check.id: Case(check, self) for check in checks_for(entry)}

    @cached_property
    def asks(self) -> set[str]:
        """Names that any of its signatures asks for."""
        return surroundings.asked_names(self.entry)

    @cached_property
    def several_labels(self) -> bool:
        """Whether it is checked where pictures have several labels, and no class."""
        return surroundings.wants_several_labels(self.entry)

    @property
    def target(self) -> Any:
        return load_target(self.entry)

    @property
    def data(self) -> Prepared:
        return prepared(self.scale.size)

    def spec(self, *, channels: int = 3, numerics: str = "cpu-fp32", **variation: Any) -> RunSpec:
        """The run that it is rehearsed in; `variation` as in `surround`. `NotApplicable` if there is none."""
        if self.entry.plugin.kind != "method" and (
            missing := surroundings.missing_settings(self.entry, self.settings)
        ):
            raise NotApplicable(f"has settings without a default: {', '.join(missing)}")
        with offering(self.entries):
            method = surroundings.surround(self.entry, self.settings, **variation)
            return surroundings.run_spec(self.entry, method, channels=channels, numerics=numerics)

    def recipe(self, spec: RunSpec | None = None) -> Recipe:
        """Its recipe, built as a run builds it."""
        with offering(self.entries):
            return build_recipe(spec or self.spec(), self.data.train)

    def trainer(self, spec: RunSpec | None = None) -> Trainer:
        """Its run at the start. `NotApplicable` for a method that does not train."""
        spec = spec or self.spec()
        if not spec.method.trains:
            raise NotApplicable("does not train")
        recipe = self.recipe(spec)
        with offering(self.entries):
            return build_trainer(spec, recipe, self.data)

    @cached_property
    def twin(self) -> Twin:
        """The run uninterrupted, repeated, and cut and resumed, each in a fresh process."""
        spec = self.spec()
        if not spec.method.trains:
            raise NotApplicable("does not train")
        home = spec.name.partition(":")[0]
        with offering(self.entries):
            used = [
                registry().find(kind, component.component, home=home)
                for kind, _, component in components_of(spec.method, spec.track)
            ]
        return Twin(spec, self.data.folder, used, self.scale)
