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

    A class's differences form a first-in first-out bank of `bank` rows, in half precision: 116 MB for 11,318
    classes of 512 dimensions. (The authors' code leaves its write position where it was after an overflow and
    then overwrites a middle row.) Equal counts: lower channel.

    The authors' auxiliary mode is a recipe's: one term of `rows = "real"`, one of all rows.
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
        if copies < 0 or bank < 1 or not 1 <= channels <= embedding_dim:
            raise UsageError(
                f"copies = {copies}, bank = {bank} and channels = {channels}: at least 0, 1 and 1, "
                f"and at most {embedding_dim} channels"
            )
        self.copies = copies
        self.channels = channels
        self.scale_low = scale_low
        self.scale_high = scale_high
        self.shift = shift
        self.detach = detach
        self.register_buffer("frequency", torch.zeros(num_classes, embedding_dim, dtype=torch.int64))
        self.register_buffer(
            "differences", torch.zeros(num_classes, bank, embedding_dim, dtype=torch.float16)
        )
        self.register_buffer("pushed", torch.zeros(num_classes, dtype=torch.int64))

    def forward(
        self, unit: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> NewRows | None:
        made = self.made(unit, labels, generator)
        return made and NewRows(functional.normalize(made.rows, dim=1), made.source)

    def made(
        self, rows: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> NewRows | None:
        """The copies as they are made, after `rows` were recorded and remembered."""
        self.record(rows.detach(), labels)
        self.remember(rows.detach(), labels)
        if self.copies == 0:
            return None
        origin = rows.detach() if self.detach else rows
        source = torch.arange(len(rows), device=rows.device).repeat(self.copies)
        scale = self._scale(rows, labels, generator)
        moved = scale * origin.repeat(self.copies, 1)
        return NewRows(moved + self.shift * self._difference(labels[source], generator).to(moved), source)

    def record(self, rows: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]) -> None:
        """Count each row's channels of largest signed value for its class."""
        top = rows.topk(self.channels, dim=1).indices
        self.frequency.index_put_((labels[:, None], top), torch.ones_like(top), accumulate=True)

    def remember(self, rows: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]) -> None:
        """Push all ordered differences inside each class, first operand outermost; zeros are dropped."""
        same = labels[:, None] == labels
        first, second = same.fill_diagonal_(False).nonzero(as_tuple=True)
        difference = rows[first] - rows[second]
        kept = difference.ne(0).any(dim=1)
        difference, owner = difference[kept], labels[first[kept]]
        order = owner.argsort(stable=True)
        difference, owner = difference[order], owner[order]
        arrivals = torch.bincount(owner, minlength=len(self.pushed))
        place = torch.arange(len(owner), device=owner.device) - (arrivals.cumsum(0) - arrivals)[owner]
        bank = self.differences.shape[1]
        last = place >= arrivals[owner] - bank  # of more than a bankful, the last ones stay
        slot = (self.pushed[owner] + place) % bank
        self.differences[owner[last], slot[last]] = difference[last].to(self.differences.dtype)
        self.pushed += arrivals

    def _scale(
        self, rows: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> Float[Tensor, "new dim"]:
        favourite = self._favourite(labels).repeat(self.copies, 1)
        uniform = torch.rand(favourite.shape, generator=generator).to(rows)
        drawn = self.scale_low + (self.scale_high - self.scale_low) * uniform
        return rows.new_ones(len(favourite), rows.shape[1]).scatter(1, favourite, drawn)

    def _favourite(self, labels: Int[Tensor, " rows"]) -> Int[Tensor, "rows channels"]:
        """The channels of each row's class that were counted most."""
        dim = self.frequency.shape[1]
        earlier = torch.arange(dim, device=labels.device).flip(0)
        # No two keys are equal: of equal counts the lower channel has the larger one.
        return (self.frequency[labels] * dim + earlier).topk(self.channels, dim=1).indices

    def _difference(
        self, labels: Int[Tensor, " new"], generator: torch.Generator
    ) -> Float[Tensor, "new dim"]:
        """A uniform row of each class's bank, zero where the bank is empty."""
        held = self.pushed[labels].clamp(max=self.differences.shape[1])
        uniform = torch.rand(len(labels), generator=generator).to(labels.device)
        return self.differences[labels, (uniform * held).long()] * (held > 0)[:, None]


class DasRaw(Das):
    """Copies of raw rows, not normalised: for losses of raw embeddings, such as lifted structure."""

    def forward(
        self, raw: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> NewRows | None:
        return self.made(raw, labels, generator)
