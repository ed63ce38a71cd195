"""Calling one component on rows of our own, with everything else as in a run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dmlbench.data.augment import to_input
from dmlbench.run.assemble import labels_of, shown_columns
from dmlbench.testing.calling import call_plainly
from dmlbench.testing.samples import Sample, Samples, spread
from dmlbench.testing.services import services
from dmlbench.testing.surroundings import USER
from dmlbench.train.calls import Calls
from dmlbench.train.component import Built
from dmlbench.train.labels import training_labels
from dmlbench.train.memory import Memory
from dmlbench.train.objective import part_value
from dmlbench.train.optimisation import MAIN, Optimisation
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Lazy, Scope

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_MOMENTS = {"miner": "mine", "augmenter": "augment", "sampler": "draw"}


@dataclass
class Call:
    """A component about to be called: what it asked for, and the leaves that its answer depends on."""

    built: Built
    moment: str
    scope: Scope
    leaves: list[Tensor]

    def look_up(self) -> None:
        """Compute what it asked for, which core and the miner would otherwise do inside the call."""
        generator = torch.Generator()
        self.built.requests[self.moment].values(self.scope.child(generator=generator))


class Bench:
    """The subject in its recipe. Each call starts from the state that the component was built with.

    `double`: in float64. `seed` moves every random number. `variation` as in `surround`.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        double: bool = False,
        seed: int = 0,
        numerics: str = "cpu-fp32",
        **variation: Any,
    ) -> None:
        self.subject = subject
        self._seed = seed
        self._spec = subject.spec(numerics=numerics, **variation)
        self.recipe = subject.recipe(self._spec)
        self.built = self.recipe.built[subject.slot]
        self.recipe.model.eval()  # rows of the trunk must not depend on each other
        if self.built.module is not None and subject.slot not in ("backbone", "main"):
            self.built.module.train()
        self._dtype = torch.float64 if double else torch.float32
        if double:
            for module in self.recipe.modules.values():
                module.double()
        self.own_parameters = self._own_parameters()
        memory = variation.get("memory", 0)
        past = Memory(memory, self._dim, num_labels=self.recipe.facts.get("num_labels", 0))
        self._memories = {self._user: past} if memory else {}
        self.samples = Samples(subject.data.train, self._dim, self.recipe.facts["feature_dim"])
        if memory:
            rows = self.samples.batch(classes=6, per_class=4)
            labels = rows.relevance if subject.several_labels else rows.labels
            past.push(nn.functional.normalize(rows.raw, dim=1), labels, rows.indices)
        self._calls = Calls(self.recipe, seed, self._memories)
        self._start = list(_buffers_of(self.built.module))

    @property
    def _dim(self) -> int:
        return int(self.recipe.facts["embedding_dim"])

    @property
    def _user(self) -> str:
        """The term whose rows the subject sees."""
        return self.subject.slot if self.subject.slot in self.recipe.sights else USER

    def value(self, sample: Sample) -> Tensor | None:
        """A loss's value; None when it says that nothing counts."""
        return self.valued(sample)[0]

    def valued(self, sample: Sample) -> tuple[Tensor | None, list[Tensor]]:
        """A loss's value and what it may be differentiated for: rows, features, its own main parameters."""
        call = self.prepare(sample)
        return part_value(self.subject.slot, self.call(call), {}), call.leaves

    def answer(self, sample: Sample) -> Any:
        """What a miner or an augmenter answers."""
        return self.call(self.prepare(sample))

    def call(self, call: Call) -> Any:
        """The component's own answer, with its generators where a run has them."""
        with torch.set_grad_enabled(call.moment != "mine"):
            return call_plainly(call.built, call.moment, call.scope, seed=self._seed)

    def prepare(self, sample: Sample, leaves: list[Tensor] | None = None) -> Call:
        """Everything ready for one call on `sample`; `leaves` are raw rows and features to use instead."""
        self._restore()
        self._calls.begin(0)
        raw, features = leaves or self.leaves(sample)
        scope = self._scope(sample, raw, features)
        moment = _MOMENTS.get(self.subject.role, "loss")
        if moment == "augment" and self.built.entry.plugin.at == "image":
            columns = self._known(sample)
            shown = scope.child(images=self._images(sample), source=torch.arange(len(sample)), **columns)
            return Call(self.built, "augment_images", shown, [])
        rows = self._rows(sample, raw)
        if moment == "mine":
            rows = rows.detach()
        seen = self._calls.seen_by(self._user, scope, rows)
        return Call(self.built, moment, seen, [raw, features, *self.own_parameters])

    def leaves(self, sample: Sample) -> list[Tensor]:
        """Raw rows and features of their own, to differentiate for."""
        return [
            part.to(self._dtype).detach().clone(memory_format=torch.preserve_format).requires_grad_()
            for part in (sample.raw, sample.features)
        ]

    def _rows(self, sample: Sample, raw: Tensor) -> Rows:
        views = self.recipe.model.views(raw, self.recipe.main_head)
        columns = self._columns(sample)
        columns |= self._known(sample)
        for role in self.recipe.sampler.entry.plugin.provides:
            columns[role] = sample.indices % 2 == 0
        if self.recipe.teacher is not None:
            seen = Scope(values={"images": self._images(sample), **columns})
            with torch.no_grad():
                columns["teacher"] = self.recipe.teacher.call("backbone", seen).to(self._dtype)
        if not sample.labels.is_contiguous():
            columns |= {name: spread(column) for name, column in self._known(sample).items()}
        return Rows(views, columns, torch.arange(len(sample)), len(sample))

    def _scope(self, sample: Sample, raw: Tensor, features: Tensor) -> Scope:
        model, main = self.recipe.model, self.recipe.main_head
        offered = {
            **services(self.subject, self._spec, self.recipe),
            "head": lambda given: model.embed(given, main),
            "to_view": lambda raw, view: model.views(raw, main)[view],
            "parameters": dict(model.named_parameters()),
        }
        moment = {"epoch": 0, "step": 0, "progress": 0.0}
        of_all = training_labels(labels_of(self._spec, self.subject.data.train), self.recipe.facts).names()
        scope = Scope(values={**self.recipe.facts, **offered, **moment, **of_all, "features": features})
        scope.set("images", Lazy(lambda: self._images(sample)))
        scope.set("feature_maps", Lazy(lambda: self._maps(sample)))
        scope.set("heads", Lazy(lambda: {main: model.views(raw, main)["unit"]}))
        return scope

    def _images(self, sample: Sample) -> Tensor:
        data = self.subject.data
        pixels = data.images[data.train.rows[sample.indices]]
        return to_input(pixels, self._spec.track.images, self.recipe.device)

    def _maps(self, sample: Sample) -> dict[str, Tensor]:
        columns = self._columns(sample)
        return self.recipe.model.features(Scope(values={"images": self._images(sample), **columns}))[1]

    def _columns(self, sample: Sample) -> dict[str, Tensor]:
        """What the protocol shows beside labels."""
        shown = shown_columns(self._spec, self.subject.data.train)
        return {name: column[sample.indices] for name, column in shown.items()}

    def _known(self, sample: Sample) -> dict[str, Tensor]:
        """What every row carries: its image, and its class or its labels."""
        known = {"indices": sample.indices, "labels": sample.labels, "first_labels": sample.labels}
        if self.subject.several_labels:
            known = {"indices": sample.indices, "relevance": sample.relevance}
        return {name: column.clone() for name, column in known.items()}

    def _own_parameters(self) -> list[Tensor]:
        """The subject's parameters that the main objective steps."""
        module = self.built.module
        if module is None:
            return []
        optimisation = Optimisation(self.recipe.modules, self._spec.track.optimiser)
        main = {id(parameter) for parameter in optimisation.parameters(MAIN)}
        return [parameter for parameter in module.parameters() if id(parameter) in main]

    def _restore(self) -> None:
        for module, name, value in self._start:
            if name is None:
                module.set_extra_state(copy.deepcopy(value))
            else:
                setattr(module, name, None if value is None else value.clone())


def _buffers_of(module: nn.Module | None) -> Iterator[tuple[nn.Module, str | None, Any]]:
    """(module, buffer, value) of all state that is no parameter; extra state has no name of a buffer."""
    for part in module.modules() if module is not None else ():
        for name, value in part._buffers.items():
            yield part, name, None if value is None else value.detach().clone()
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            yield part, None, copy.deepcopy(part.get_extra_state())
