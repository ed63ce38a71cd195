"""Items classified among base and novel classes: by imprinted rows, random ones, or nearest neighbours.

An item as near to m classes counts 1/m when its own is one of them, as in `dmlbench.score.low_shot`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import DataError
from dmlbench.score.distance import unit
from dmlbench.score.inputs import as_embeddings
from dmlbench.score.low_shot import imprint

METRIC_VERSIONS: dict[str, int] = {"accuracy_novel_N": 1, "accuracy_all_N": 1, "accuracy_transfer_N": 1}
"""What `accuracy_novel`, `_all` and `_transfer` of `low_shot` are, N images of each novel class shown."""
Answer = tuple[Float[Tensor, " item"], Float[Tensor, " item"]]
"""Whether each item is right among all classes, and among the novel ones: 1/m where it is one of m."""
NONE = -1
"""The own class of an item whose class is not among those compared with."""
# Similarities held at a time.
_CHUNK_ELEMENTS = 2**22
# Equal similarities come out of different products a few last bits apart.
_DECIMALS = 12


@dataclass(frozen=True, eq=False)
class Nearest:
    """What items find among some classes."""

    top: Float[Tensor, " item"]
    """The highest similarity to one of the classes."""
    tied: Float[Tensor, " item"]
    """How many classes have it."""
    own: Float[Tensor, " item"]
    """That of the own class; -inf for an item of none of these classes."""


def nearest_rows(
    items: Float[Tensor, "item dim"], rows: Float[Tensor, "class dim"], own: Int[Tensor, " item"]
) -> Nearest:
    """Among classes that a row each stands for. All vectors have length 1."""
    height = max(1, _CHUNK_ELEMENTS // len(rows))
    chunks = zip(items.split(height), own.split(height), strict=True)
    return _joined([_found(some @ rows.T, mine) for some, mine in chunks])


def nearest_images(
    items: Float[Tensor, "item dim"],
    images: Float[Tensor, "image dim"],
    labels: Int[Tensor, " image"],
    own: Int[Tensor, " item"],
) -> Nearest:
    """Among classes 0..C-1 that several images stand for, the nearest of each. All vectors have length 1."""
    classes = int(labels.max()) + 1
    height = max(1, _CHUNK_ELEMENTS // len(images))
    found = []
    for some, mine in zip(items.split(height), own.split(height), strict=True):
        similarities = some @ images.T
        by_class = similarities.new_full((len(some), classes), -torch.inf)
        by_class.scatter_reduce_(1, labels.expand_as(similarities), similarities, "amax")
        found.append(_found(by_class, mine))
    return _joined(found)


def right(*found: Nearest) -> Float[Tensor, " item"]:
    """Whether each item's own class is the nearest of all that were compared with: 1/m among m, else 0.

    >>> row = torch.tensor([[1.0, 0.0]])
    >>> right(nearest_rows(row, row, torch.tensor([0])), nearest_rows(row, row, torch.tensor([NONE])))
    tensor([0.5000])
    """
    tops = torch.stack([one.top for one in found])
    top = tops.amax(dim=0)
    tied = ((tops == top) * torch.stack([one.tied for one in found])).sum(dim=0)
    own = torch.stack([one.own for one in found]).amax(dim=0)
    return (own == top) / tied


def random_rows(classes: int, dim: int, generator: torch.Generator) -> Float[Tensor, "class dim"]:
    """Rows of random direction: what a classifier knows of classes that it was shown nothing of."""
    return unit(torch.randn(classes, dim, generator=generator, dtype=torch.float64))


def class_rows(
    images: Float[Tensor, "image dim"], labels: Int[Tensor, " image"]
) -> Float[Tensor, "class dim"]:
    """The row of each class 0..C-1: imprinted from all its images."""
    images = unit(images.double())
    sums = images.new_zeros(int(labels.max()) + 1, images.shape[1]).index_add_(0, labels, images)
    return unit(sums)


class Judge:
    """Classifies scored items among base classes and novel ones.

    `rows` stand for the base classes, one each; `items` are of the classes `own`, 0..B-1 base, B.. novel.
    `images`, labelled ones of base classes, are for `nearest` alone. Each answer is whether an item is right
    among all classes, and among the novel ones alone, by how many images are shown of a novel class.

    Raises `DataError` for embeddings of another width, or that are not finite.
    """

    def __init__(
        self,
        rows: Float[Tensor, "base dim"],
        items: Float[Tensor, "item dim"],
        own: Int[Tensor, " item"],
        images: tuple[Float[Tensor, "image dim"], Int[Tensor, " image"]] | None = None,
    ) -> None:
        self._items = unit(as_embeddings(items, "items").double())
        rows = self._like(rows, "rows")
        self.own = own
        self.novel = own >= len(rows)
        self._novel_own = torch.where(self.novel, own - len(rows), NONE)
        base_own = torch.where(self.novel, NONE, own)
        self._by_rows = nearest_rows(self._items, rows, base_own)
        self._by_images = (
            nearest_images(self._items, self._like(images[0], "images"), images[1], base_own)
            if images
            else None
        )

    @property
    def items(self) -> int:
        return len(self._items)

    def grouped(self, answer: Answer) -> dict[str, Float[Tensor, " item"]]:
        """`novel`: novel items among all classes; `transfer`: among the novel ones. Where there are items of
        base classes, `all`: all items among all classes."""
        among_all, among_novel = answer
        groups = {"novel": among_all[self.novel], "transfer": among_novel[self.novel]}
        return groups if bool(self.novel.all()) else {**groups, "all": among_all}

    def by_rows(self, rows: Float[Tensor, "novel dim"]) -> Answer:
        """By a row for each novel class."""
        found = nearest_rows(self._items, self._like(rows, "novel rows"), self._novel_own)
        return right(self._by_rows, found), right(found)

    def by_imprinting(
        self, shown: Float[Tensor, "novel shot view dim"], numbers: Sequence[int]
    ) -> dict[int, Answer]:
        """By rows imprinted from the first images of each novel class, each in one view or several."""
        return {n: self.by_rows(imprint(shown[:, :n].flatten(1, 2).double())) for n in numbers}

    def by_nearest(self, shown: Float[Tensor, "novel shot dim"], numbers: Sequence[int]) -> dict[int, Answer]:
        """By the nearest labelled image: of a base class, or of those shown."""
        assert self._by_images is not None
        classes, shots, _ = shown.shape
        images = self._like(shown.transpose(0, 1).flatten(0, 1), "shown")
        parts: dict[int, list[Nearest]] = {n: [] for n in numbers}
        height = max(1, _CHUNK_ELEMENTS // len(images))
        for some, own in zip(self._items.split(height), self._novel_own.split(height), strict=True):
            by_shot = (some @ images.T).reshape(-1, shots, classes)
            best, used = by_shot[:, 0], 1
            for n in sorted(parts):
                if n > used:
                    best, used = torch.maximum(best, by_shot[:, used:n].amax(dim=1)), n
                parts[n].append(_found(best, own))
        novel = {n: _joined(found) for n, found in parts.items()}
        return {n: (right(self._by_images, found), right(found)) for n, found in novel.items()}

    def _like(self, values: Float[Tensor, "row dim"], name: str) -> Float[Tensor, "row dim"]:
        rows = unit(as_embeddings(values, name).double())
        if rows.shape[1] != self._items.shape[1]:
            raise DataError(
                f"{name} have {rows.shape[1]} dimensions, items {self._items.shape[1]}", place="shots"
            )
        return rows


def _found(similarities: Float[Tensor, "item class"], own: Int[Tensor, " item"]) -> Nearest:
    rounded = similarities.round(decimals=_DECIMALS)
    top = rounded.amax(dim=1)
    mine = rounded.gather(1, own.clamp(min=0)[:, None]).squeeze(1)
    return Nearest(
        top, (rounded == top[:, None]).sum(dim=1).double(), mine.masked_fill(own == NONE, -torch.inf)
    )


def _joined(found: list[Nearest]) -> Nearest:
    return Nearest(*(torch.cat([getattr(one, name) for one in found]) for name in ("top", "tied", "own")))
