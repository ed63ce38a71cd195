"""The services that components may call, on the kit's own images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.run.assemble import labels_of, shown_columns
from dmlbench.spec.run import RunSpec
from dmlbench.train.embedding import embed_training_images
from dmlbench.train.images import TrainingImages
from dmlbench.train.recipe import Recipe

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject


def services(subject: Subject, spec: RunSpec, recipe: Recipe) -> dict[str, Callable[..., Any]]:
    """`embed` and `embed_all`, by the untrained model."""
    data, train = subject.data, subject.data.train
    labels, columns = labels_of(spec, train), shown_columns(spec, train)
    images = TrainingImages(data.images, train.rows, labels, columns, spec.track.images, recipe.device)

    def embed(indices: Int[Tensor, " n"]) -> Float[Tensor, "n dim"]:
        return embed_training_images(recipe, images, indices)

    return {"embed": embed, "embed_all": lambda: embed(torch.arange(len(train.labels)))}
