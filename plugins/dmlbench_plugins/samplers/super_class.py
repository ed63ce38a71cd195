"""P x K batches of classes from few superclasses."""

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor, nn

from dmlbench.api import UsageError
from dmlbench_plugins.samplers.pk import PK


class SuperClass(nn.Module):
    """P x K, where `classes_per_superclass` classes at most share each superclass of the batch.

    Superclasses come at random, each with random classes of its own, until the batch is full; the last one
    may be cut. Needs a protocol that shows the data set's superclasses. The rest is as in `PK`. Raises
    `UsageError` when the superclasses have too few classes for a batch.
    """

    def __init__(
        self, num_classes: int, batch_size: int, *, per_class: int = 4, classes_per_superclass: int = 4
    ) -> None:
        super().__init__()
        if classes_per_superclass < 1:
            raise UsageError(f"classes_per_superclass = {classes_per_superclass}: at least one")
        self.num_classes = num_classes
        self.classes_per_superclass = classes_per_superclass
        self.images = PK(batch_size, per_class=per_class)

    def draw(
        self,
        by_class: Mapping[int, Int[Tensor, " images"]],
        train_labels: Int[Tensor, " num_samples"],
        train_superclass: Int[Tensor, " num_samples"],
        generator: torch.Generator,
    ) -> Int[Tensor, " batch"]:
        drawn = train_labels >= 0
        superclass = torch.zeros(self.num_classes, dtype=torch.int64)
        superclass[train_labels[drawn]] = train_superclass[drawn]
        labels = torch.tensor(list(by_class))[torch.randperm(len(by_class), generator=generator)]
        # Superclasses in a random order, the classes of each side by side in theirs.
        turn = torch.randperm(int(superclass.max()) + 1, generator=generator)[superclass[labels]]
        order = turn.argsort(stable=True)
        turn, labels = turn[order], labels[order]
        place = torch.arange(len(turn)) - torch.searchsorted(turn, turn)
        chosen = labels[place < self.classes_per_superclass][: self.images.classes]
        if len(chosen) < self.images.classes:
            raise UsageError(
                f"a batch needs {self.images.classes} classes, superclasses have {len(chosen)} with "
                f"{self.classes_per_superclass} of each",
                way_out="more classes of each (classes_per_superclass), or more images (per_class)",
            )
        return self.images.draw({label: by_class[label] for label in chosen.tolist()}, generator)
