"""P x K batches of classes that lie near each other."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import UsageError
from dmlbench_plugins.samplers.pk import PK


class HardClass(nn.Module):
    """P x K, where classes come in groups: a random one and the `group` - 1 nearest to it.

    The anchor-neighbour sampling of Ge et al. 2018, with near classes told by prototypes that cost no pass:
    each is a running mean of the unit embeddings of its class's images as they were trained on, which keeps
    `momentum` of what it was. A class that was not yet drawn has a prototype of 0, at right angles to all.
    `group = 1` is plain P x K. The rest is as in `PK`.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        batch_size: int,
        *,
        per_class: int = 4,
        group: int = 4,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        if group < 1 or not 0 <= momentum < 1:
            raise UsageError(f"group = {group} and momentum = {momentum}: at least 1, and from 0 to below 1")
        self.group = group
        self.momentum = momentum
        self.images = PK(batch_size, per_class=per_class)
        self.register_buffer("prototypes", torch.zeros(num_classes, embedding_dim))

    def draw(
        self, by_class: Mapping[int, Int[Tensor, " images"]], generator: torch.Generator
    ) -> Int[Tensor, " batch"]:
        if len(by_class) <= self.images.classes:
            return self.images.draw(by_class, generator)
        labels = torch.tensor(list(by_class))
        labels = labels[torch.randperm(len(labels), generator=generator)]
        chosen = labels[self._near_each_other(labels.to(self.prototypes.device)).cpu()].tolist()
        return self.images.draw({label: by_class[label] for label in chosen}, generator)

    def _near_each_other(self, labels: Int[Tensor, " class"]) -> Int[Tensor, " chosen"]:
        """Positions in `labels` of the batch's classes. The first ones are the heads of the groups."""
        sizes = [self.group] * (self.images.classes // self.group)
        if rest := self.images.classes % self.group:
            sizes.append(rest)
        heads = labels[: len(sizes)]
        similarity = (self.prototypes[heads] @ self.prototypes.T)[:, labels]
        similarity.fill_diagonal_(torch.inf)  # a head comes first, however near another class is
        free = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
        chosen = []
        for head, size in enumerate(sizes):
            nearness = similarity[head].masked_fill(~free, -torch.inf)
            taken = nearness.topk(size).indices
            free[taken] = False
            chosen.append(taken)
        return torch.cat(chosen)

    def after_step(self, unit: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]) -> None:
        present, place = labels.unique(return_inverse=True)
        sums = torch.zeros(len(present), unit.shape[1], device=unit.device).index_add(0, place, unit)
        means = functional.normalize(sums, dim=1)
        kept = self.momentum * self.prototypes[present]
        self.prototypes[present] = functional.normalize(kept + (1 - self.momentum) * means, dim=1)
