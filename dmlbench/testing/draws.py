"""Drawing batch after batch from a sampler, without training on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxtyping import Bool
from torch import Tensor

from dmlbench.run.assemble import labels_of, shown_columns
from dmlbench.testing.calling import call_plainly
from dmlbench.testing.services import services
from dmlbench.train.drawing import checked_batch
from dmlbench.train.labels import TrainingLabels, training_labels
from dmlbench.train.scope import Scope
from dmlbench.train.values import Batch

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject


class Draws:
    """A sampler at its start. `labels` is the class that each training image has then, or a row of yes and no
    for each."""

    def __init__(self, subject: Subject) -> None:
        spec = subject.spec()
        recipe = subject.recipe(spec)
        self._facts = recipe.facts
        self._sampler = recipe.sampler
        self.largest = subject.scale.batch
        self._columns = shown_columns(spec, subject.data.train)
        self._services = services(subject, spec, recipe)
        self.settings = self._sampler.settings
        self.labels = labels_of(spec, subject.data.train)
        self.images = len(self.labels)
        self._training = training_labels(self.labels, recipe.facts)

    def batch(self, step: int) -> Batch:
        """The batch of one step, as the sampler draws it. Epochs start where they do in a run."""
        epoch_steps = self._facts["epoch_steps"]
        moment = {"epoch": step // epoch_steps, "step": step, "progress": step / self._facts["steps"]}
        scope = Scope(values={**self._facts, **self._services, **moment, **self._training.names()})
        for name, column in self._columns.items():
            scope.set(f"train_{name}", column)
        if step == 0:
            self._event("on_train_start", scope, step)
        if step % epoch_steps == 0:
            self._event("on_epoch_start", scope, step)
        draw = self._sampler.method("draw")
        drawn = call_plainly(self._sampler, "draw", scope, step=step, function=draw)
        return drawn if isinstance(drawn, Batch) else Batch(drawn)

    def checked(self, batch: Batch) -> Batch:
        """The same, looked at as the loop does. `ContractError` for a broken promise."""
        left_out = self._training.left_out
        return checked_batch(batch, self._sampler.entry.plugin.provides, left_out, self.largest)

    def shown(self, batch: Batch) -> set[int]:
        """The classes of its images, or all labels that any of them has."""
        rows = self.labels[batch.indices]
        return set((rows if rows.ndim == 1 else rows.any(dim=0).nonzero().flatten()).tolist())

    def _event(self, name: str, scope: Scope, step: int) -> None:
        if function := self._sampler.method(name):
            call_plainly(self._sampler, name, scope, step=step, function=function)

    def leave_out(self, images: Bool[Tensor, " n"]) -> None:
        """These train no more. Only where images have one class."""
        assert isinstance(self._training, TrainingLabels)
        self._training.set(self.labels.masked_fill(images, -1))

    def state(self) -> dict[str, Any]:
        return {} if self._sampler.module is None else self._sampler.module.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        if self._sampler.module is not None:
            self._sampler.module.load_state_dict(state)
