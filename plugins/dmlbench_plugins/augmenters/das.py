"""Densely-anchored sampling."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import NewRows, UsageError


class Das(nn.Module):
    """`copies` synthetic embeddings of each row: v' = s * v + b, normalised again (Liu et al. 2022).

    s is uniform in [scale_low, scale_high) on the `channels` that are most often among the largest of the
    class, 1 elsewhere; b is `shift` times a remembered difference of two embeddings of the class. Rows come
    copy by copy. With `detach` no gradient flows through the copies.

    A class's differences form a first-in first-out bank of `bank` rows. (The authors' code leaves its write
    position where it was after an overflow and then overwrites a middle row.) Equal counts: lower channel.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        copies: int = 3,
        channels: int = 4,
        scale_low: float = 0.5,
        scale_high: float = 2.0,
        bank: int = 10,
        shift: float = 0.01,
        detach: bool = False,
    ) -> None:
        super().__init__()
        if bank < 1 or not 1 <= channels <= embedding_dim:
            raise UsageError(
                f"bank = {bank} and channels = {channels}: at least 1, at most {embedding_dim} channels"
            )
        self.copies = copies
        self.channels = channels
        self.scale_low = scale_low
        self.scale_high = scale_high
        self.shift = shift
        self.detach = detach
        self.register_buffer("frequency", torch.zeros(num_classes, embedding_dim, dtype=torch.int64))
        self.register_buffer("differences", torch.zeros(num_classes, bank, embedding_dim))
        self.register_buffer("pushed", torch.zeros(num_classes, dtype=torch.int64))

    def forward(
        self, unit: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> NewRows | None:
        self.record(unit.detach(), labels)
        self.remember(unit.detach(), labels)
        if self.copies == 0:
            return None
        origin = unit.detach() if self.detach else unit
        source = torch.arange(len(unit), device=unit.device).repeat(self.copies)
        scale = self._scale(labels[source], generator)
        moved = scale * origin[source] + self.shift * self._difference(labels[source], generator)
        return NewRows(functional.normalize(moved, dim=1), source)

    def record(self, unit: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]) -> None:
        """Count each row's channels of largest signed value for its class."""
        top = unit.topk(self.channels, dim=1).indices
        self.frequency.index_put_((labels[:, None], top), torch.ones_like(top), accumulate=True)

    def remember(self, unit: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]) -> None:
        """Push all ordered differences inside each class, first operand outermost; zeros are dropped."""
        same = labels[:, None] == labels
        first, second = same.fill_diagonal_(False).nonzero(as_tuple=True)
        difference = unit[first] - unit[second]
        kept = difference.ne(0).any(dim=1)
        difference, owner = difference[kept], labels[first[kept]]
        order = owner.argsort(stable=True)
        difference, owner = difference[order], owner[order]
        arrivals = torch.bincount(owner, minlength=len(self.pushed))
        place = torch.arange(len(owner), device=owner.device) - (arrivals.cumsum(0) - arrivals)[owner]
        bank = self.differences.shape[1]
        last = place >= arrivals[owner] - bank  # of more than a bankful, the last ones stay
        slot = (self.pushed[owner] + place) % bank
        self.differences[owner[last], slot[last]] = difference[last]
        self.pushed += arrivals

    def _scale(self, labels: Int[Tensor, " new"], generator: torch.Generator) -> Float[Tensor, "new dim"]:
        ranked = self.frequency[labels].sort(dim=1, descending=True, stable=True).indices[:, : self.channels]
        uniform = torch.rand(ranked.shape, generator=generator).to(ranked.device)
        drawn = self.scale_low + (self.scale_high - self.scale_low) * uniform
        ones = torch.ones(len(labels), self.frequency.shape[1], device=labels.device)
        return ones.scatter(1, ranked, drawn)

    def _difference(
        self, labels: Int[Tensor, " new"], generator: torch.Generator
    ) -> Float[Tensor, "new dim"]:
        """A uniform row of each class's bank, zero where the bank is empty."""
        held = self.pushed[labels].clamp(max=self.differences.shape[1])
        uniform = torch.rand(len(labels), generator=generator).to(labels.device)
        return self.differences[labels, (uniform * held).long()] * (held > 0)[:, None]
