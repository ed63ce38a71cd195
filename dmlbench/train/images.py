"""The training images of a run: decoded once, augmented in batches on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from dmlbench.data.augment import augment, to_input, to_training_input
from dmlbench.data.whole import WholePictures
from dmlbench.spec.track import ImagePipeline


class TrainingImages:
    """`store` holds all prepared images; `rows` are those that train, `labels` and `columns` theirs.

    `labels` is the class of each, or a row of yes and no for each where they have several labels.
    """

    def __init__(
        self,
        store: UInt8[Tensor, "all height width channel"] | WholePictures,
        rows: Int[Tensor, " n"],
        labels: Int[Tensor, " n"] | Bool[Tensor, "n labels"],
        columns: Mapping[str, Int[Tensor, " n"]],
        pipeline: ImagePipeline,
        device: torch.device,
    ) -> None:
        self._store = store
        self._rows = rows
        self.labels = labels
        self.columns = dict(columns)
        self._pipeline = pipeline
        self._device = device

    def plain(self, indices: Int[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Normalised images, as they are evaluated."""
        return to_input(self._store[self._rows[indices]], self._pipeline, self._device)

    def augmented(
        self, indices: Int[Tensor, " batch"], generator: torch.Generator
    ) -> Float[Tensor, "batch channel height width"]:
        """Normalised images under the track's random changes."""
        rows = self._rows[indices]
        seen = to_training_input(self._store, rows, self._pipeline, self._device, generator)
        return augment(seen, self._pipeline, generator)
