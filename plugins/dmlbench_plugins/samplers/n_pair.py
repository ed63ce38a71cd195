"""The N-pair sampler."""

from collections.abc import Iterable, Mapping
from itertools import islice

import torch
from jaxtyping import Int
from torch import Tensor, nn

from dmlbench.api import Batch, UsageError


class NPair(nn.Module):
    """N = batch_size // 2 different classes, two different images of each (Sohn 2016).

    Classes come at random, without replacement; those with one image never do. All are drawn when there are
    not more than N, which makes a smaller batch. The role `is_positive` marks the second image of each
    class; anchors come first. Raises `UsageError` when no class has two images.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        if batch_size < 2:
            raise UsageError(f"a pair does not fit a batch of {batch_size}")
        self.classes = batch_size // 2

    def draw(self, by_class: Mapping[int, Int[Tensor, " images"]], generator: torch.Generator) -> Batch:
        labels = list(by_class)
        order = torch.randperm(len(labels), generator=generator).tolist()
        members = (by_class[labels[c]] for c in order)
        return pairs_of(islice(filter(has_pair, members), self.classes), generator)


def has_pair(images: Int[Tensor, " images"]) -> bool:
    """Whether a class with these images can be drawn."""
    return len(images) > 1


def pairs_of(members: Iterable[Int[Tensor, " images"]], generator: torch.Generator) -> Batch:
    """Two different images of each of these classes: all anchors, then all positives in the same order."""
    drawn = [images[torch.randperm(len(images), generator=generator)[:2]] for images in members]
    if not drawn:
        raise UsageError("no class has two images: there is no pair to draw")
    anchors, positives = torch.stack(drawn, dim=1)
    is_positive = torch.arange(2 * len(drawn)) >= len(drawn)
    return Batch(torch.cat([anchors, positives]), {"is_positive": is_positive})
