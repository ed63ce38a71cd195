"""P x K batches in which one image stands for its class, for many steps."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import Batch, State, UsageError

_BLOCK = 256
"""Representatives compared with all others at a time: block x classes instead of classes x classes."""


class PinnedRepresentatives(nn.Module):
    """P x K, where the first image of a class is its representative for `lifetime` steps: an outer step.

    The batches of alternating projections (Can, Gurbuz, Alatan 2021). Every image of a class represents it
    once before one does again, and so do the K - 1 others of a batch take turns; one that is not drawn
    because it is the representative has had its turn. `lifetime = 0` is about an epoch. K is `per_class`; it
    is more where classes are too few, and no more than the median class has images. A class of fewer than K
    repeats some of its others.

    With probability `hard` a batch is of classes that the network confuses: a seed and the P - 1 classes
    whose representatives were nearest to its own when the outer step began. All classes are seeds before one
    is again. It costs a pass over the representatives at each outer step. (The paper's rule is not known.)

    Roles: `is_representative`; `outer_step`, the same number for all rows.
    """

    def __init__(
        self,
        num_classes: int,
        num_samples: int,
        class_counts: Int[Tensor, " class"],
        batch_size: int,
        *,
        per_class: int = 4,
        lifetime: int = 0,
        hard: float = 0.0,
    ) -> None:
        super().__init__()
        if not 2 <= per_class <= batch_size or lifetime < 0 or not 0 <= hard <= 1:
            raise UsageError(
                f"per_class = {per_class}, lifetime = {lifetime}, hard = {hard}: "
                f"2 to {batch_size}, 0 or more, 0 to 1"
            )
        enough = max(2, min(per_class, int(class_counts.median())))
        self.per_class = max(enough, batch_size // num_classes)
        self.classes = batch_size // self.per_class
        self.lifetime = lifetime or -(-num_samples // batch_size)
        self.hard = hard
        # How often each image was a representative, or another one of a batch; each class a seed.
        self.turns = State(
            represented=torch.zeros(num_samples, dtype=torch.int64),
            drawn=torch.zeros(num_samples, dtype=torch.int64),
            seeded=torch.zeros(num_classes, dtype=torch.int64),
        )
        self.pinned = State(
            outer_step=-1,
            images=torch.full((num_classes,), -1),
            near=torch.full((num_classes, self.classes - 1 if hard else 0), -1),
        )

    def draw(
        self,
        by_class: Mapping[int, Int[Tensor, " images"]],
        embed: Callable[[Int[Tensor, " n"]], Float[Tensor, "n dim"]],
        step: int,
        generator: torch.Generator,
    ) -> Batch:
        if len(by_class) < self.classes:
            raise UsageError(
                f"a batch needs {self.classes} classes, the training set has {len(by_class)}",
                way_out="more images per class (per_class), or a track with a smaller batch",
            )
        if step // self.lifetime != self.pinned.outer_step:
            self.pinned.outer_step = step // self.lifetime
            self._pin(by_class, embed, generator)
        chosen = self._choose(by_class, generator)
        indices = self._images({label: by_class[label] for label in chosen}, generator)
        is_representative = torch.arange(len(indices)) % self.per_class == 0
        outer_step = torch.full((len(indices),), self.pinned.outer_step)
        return Batch(indices, {"is_representative": is_representative, "outer_step": outer_step})

    def _pin(
        self,
        by_class: Mapping[int, Int[Tensor, " images"]],
        embed: Callable[[Int[Tensor, " n"]], Float[Tensor, "n dim"]],
        generator: torch.Generator,
    ) -> None:
        """New representatives of all classes; with `hard`, who is near to whom."""
        labels, members, group = _groups(by_class)
        order = _in_groups(_turn(self.turns.represented[members], generator), group)
        first = order[torch.searchsorted(group, torch.arange(len(labels)))]
        self.pinned.images = torch.full_like(self.pinned.images, -1).index_copy(0, labels, members[first])
        self.turns.represented = _plus_one(self.turns.represented, members[first])
        if self.hard:
            unit = functional.normalize(embed(members[first]).float(), dim=1)
            near = labels[nearest(unit, self.classes - 1).cpu()]
            self.pinned.near = torch.full_like(self.pinned.near, -1).index_copy(0, labels, near)

    def _choose(
        self, by_class: Mapping[int, Int[Tensor, " images"]], generator: torch.Generator
    ) -> list[int]:
        """The classes of a batch."""
        labels = torch.tensor(list(by_class))
        chosen = labels[torch.randperm(len(labels), generator=generator)].tolist()
        if self.hard and float(torch.rand((), generator=generator)) < self.hard:
            seed = int(labels[_turn(self.turns.seeded[labels], generator).argmin()])
            self.turns.seeded = _plus_one(self.turns.seeded, torch.tensor([seed]))
            near = [label for label in self.pinned.near[seed].tolist() if label in by_class]
            # Labels may have changed since: random classes in place of those that are gone.
            chosen = list(dict.fromkeys([seed, *near, *chosen]))
        return chosen[: self.classes]

    def _images(
        self, by_class: Mapping[int, Int[Tensor, " images"]], generator: torch.Generator
    ) -> Int[Tensor, " batch"]:
        """K images of each class: the representative, then those that had fewest turns."""
        labels, members, group = _groups(by_class)
        own = self._representatives(by_class, generator)
        # The representative before all, whatever its turn.
        key = _turn(self.turns.drawn[members], generator).masked_fill(members == own[group], -1)
        start = torch.searchsorted(group, torch.arange(len(labels)))
        size = group.bincount()[:, None]
        place = torch.arange(self.per_class).expand(len(labels), -1)
        again = 1 + (torch.rand(place.shape, generator=generator) * (size - 1)).long()
        short = place >= size
        place = torch.where(short, again.clamp(max=size - 1), place)
        images = members[_in_groups(key, group)[start[:, None] + place]]
        # As if it had been drawn among the others: it is not owed its turns when another one is pinned.
        due = torch.maximum(self.turns.drawn[own], self.turns.drawn[images[:, 1]])
        drawn = self.turns.drawn.index_copy(0, own, due)
        self.turns.drawn = _plus_one(drawn, images[:, 1:][~short[:, 1:]])
        return images.flatten()

    def _representatives(
        self, by_class: Mapping[int, Int[Tensor, " images"]], generator: torch.Generator
    ) -> Int[Tensor, " class"]:
        """Those of the classes, drawn anew where the pinned one is of another class now."""
        labels, members, group = _groups(by_class)
        standing = torch.zeros(len(labels), dtype=torch.bool)
        standing[group[members == self.pinned.images[labels][group]]] = True
        for label in labels[~standing].tolist():
            images = by_class[label]
            own = images[_turn(self.turns.represented[images], generator).argmin()]
            self.pinned.images = self.pinned.images.index_fill(0, torch.tensor([label]), int(own))
            self.turns.represented = _plus_one(self.turns.represented, own[None])
        return self.pinned.images[labels]


def nearest(rows: Float[Tensor, "class dim"], count: int) -> Int[Tensor, "class count"]:
    """The `count` rows of least Euclidean distance to each row, itself left out."""
    found = []
    for block in torch.arange(len(rows), device=rows.device).split(_BLOCK):
        square = rows.square().sum(dim=1) - 2 * rows[block] @ rows.T  # but for a constant of the row
        square[torch.arange(len(block), device=rows.device), block] = torch.inf
        found.append(square.topk(count, largest=False).indices)
    return torch.cat(found)


def _turn(counts: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, " n"]:
    """Whose turn it is: lowest first, equals in a random order."""
    return counts + torch.rand(len(counts), dtype=torch.float64, generator=generator)


def _plus_one(counts: Int[Tensor, " n"], places: Int[Tensor, " m"]) -> Int[Tensor, " n"]:
    return counts.index_add(0, places, torch.ones_like(places))


def _groups(
    by_class: Mapping[int, Int[Tensor, " images"]],
) -> tuple[Int[Tensor, " class"], Int[Tensor, " images"], Int[Tensor, " images"]]:
    """The labels; the images of all classes side by side; the place of each one's class."""
    sizes = torch.tensor([len(images) for images in by_class.values()])
    group = torch.arange(len(sizes)).repeat_interleave(sizes)
    return torch.tensor(list(by_class)), torch.cat(list(by_class.values())), group


def _in_groups(key: Float[Tensor, " n"], group: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The order by group, and by key inside each."""
    order = key.argsort()
    return order[group[order].argsort(stable=True)]
