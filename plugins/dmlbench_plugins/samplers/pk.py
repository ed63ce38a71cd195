"""The P x K sampler."""

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor, nn

from dmlbench.api import UsageError


class PK(nn.Module):
    """As many classes as fit the batch, `per_class` images of each, drawn anew at every step.

    Classes and images are drawn without replacement; a class with fewer than `per_class` images repeats
    some. Raises `UsageError` when the training set has fewer classes than a batch needs.
    """

    def __init__(self, batch_size: int, *, per_class: int = 4) -> None:
        super().__init__()
        if not 1 <= per_class <= batch_size:
            raise UsageError(f"per_class = {per_class} does not fit a batch of {batch_size}")
        self.per_class = per_class
        self.classes = batch_size // per_class

    def draw(
        self, by_class: Mapping[int, Int[Tensor, " images"]], generator: torch.Generator
    ) -> Int[Tensor, " batch"]:
        members = list(by_class.values())
        if len(members) < self.classes:
            raise UsageError(
                f"a batch needs {self.classes} classes, the training set has {len(members)}",
                way_out="more images per class (per_class), or a track with a smaller batch",
            )
        chosen = torch.randperm(len(members), generator=generator)[: self.classes].tolist()
        return torch.cat([self._images(members[c], generator) for c in chosen])

    def _images(
        self, images: Int[Tensor, " images"], generator: torch.Generator
    ) -> Int[Tensor, " per_class"]:
        order = torch.randperm(len(images), generator=generator)
        missing = self.per_class - len(order)
        if missing > 0:
            again = torch.randint(len(images), (missing,), generator=generator)
            return images[torch.cat([order, again])]
        return images[order[: self.per_class]]
