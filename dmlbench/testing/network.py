"""A backbone or a head on inputs of our own, as the model calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dmlbench.data.augment import to_input
from dmlbench.run.assemble import shown_columns
from dmlbench.testing.calling import call_plainly
from dmlbench.train.numerics import Numerics
from dmlbench.train.scope import Scope

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_ROWS = 8


class Network:
    """Called with images (a backbone) or features (a head); the answer is in fp32, as core has it.

    A head that reads maps is called with images too: the maps are those that the kit's trunk makes of them.
    """

    def __init__(
        self, subject: Subject, *, training: bool = True, channels: int = 3, numerics: str = "cpu-fp32"
    ) -> None:
        self._spec = subject.spec(channels=channels, numerics=numerics)
        recipe = subject.recipe(self._spec)
        self._data = subject.data
        self._built = recipe.built[subject.slot]
        self._head = subject.role == "head"
        self._model = recipe.model
        self._of_maps = self._head and "feature_maps" in self._built.requests["head"].names
        self._numerics = Numerics(numerics)
        self._feature_dim = recipe.facts["feature_dim"]
        self.width = recipe.facts["embedding_dim" if self._head else "feature_dim"]
        recipe.model.train(training)

    @property
    def module(self) -> nn.Module:
        module = self._built.module
        assert module is not None  # the model refuses anything else
        return module

    def inputs(self) -> Tensor:
        """A few images of the kit; for a head of features some that look like a ReLU's."""
        if self._head and not self._of_maps:
            generator = torch.Generator().manual_seed(1)
            return torch.randn(_ROWS, self._feature_dim, generator=generator).relu()
        pipeline = self._spec.track.images
        pictures = self._data.images[self._data.train.rows[:_ROWS]][..., : pipeline.channels]
        return to_input(pictures, pipeline, "cpu")

    def __call__(self, given: Tensor) -> Tensor:
        columns = {
            name: column[: len(given)] for name, column in shown_columns(self._spec, self._data.train).items()
        }
        if self._of_maps:
            features, maps = self._model.features(Scope(values={"images": given, **columns}))
            scope = Scope(values={"features": features, "feature_maps": maps})
            with self._numerics.autocast():
                return call_plainly(self._built, "head", scope).float()
        name, moment = ("features", "head") if self._head else ("images", "backbone")
        with self._numerics.autocast():
            out = call_plainly(self._built, moment, Scope(values={name: given, **columns}))
        return (out[0] if isinstance(out, tuple) else out).float()
