"""A combiner that learns the weights of an ensemble of losses."""

import itertools
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.api import ContractError, ParamGroup, UsageError

_LEAST_MEAN = 1e-8
"""Hinges may fall silent: what a member is divided by stays above this."""
_STIFFNESS = 100.0
"""The authors' code multiplies eta by it."""


class LossEnsemble(nn.Module):
    """Each term scaled by its running mean M, times a learned weight c (Zabihzadeh et al. 2021).

        sum_i c_i (mean of all M / M_i) l_i + 100 eta (sum_i c_i - 1)^2 + diversity [2 - D]_+

    c_i = a_i^2 + 1/(4 m) of m terms, which begin in the proportions of `prior` (1 for a term that it does not
    name) and sum to 1. M_i is the mean of l_i over all steps in which it counted, this one included, held for
    the gradient; with `momentum` above 0 a running one; `scaled = False` does without. A term with nothing to
    count is left out.

    D is the mean distance between an image's embeddings by two heads, over the pairs of heads, which need one
    width; with one head that part is 0. `fuse` is the concatenation of sqrt(c) x over heads, c the weight of
    the head's terms, so that squared distances are summed with these weights. With `compressed` that many
    numbers are made of it, W2 tanh(W1 u), by an objective of its own after each step (`distortion`).

    The authors refresh the weights in `fuse` once an epoch; here they are those of the moment. The compressor
    sees the embeddings from which the step was made, detached.
    """

    def __init__(
        self,
        term_names: tuple[str, ...],
        term_heads: tuple[str, ...],
        embedding_dim: int,
        *,
        prior: dict[str, float] | None = None,
        eta: float = 100.0,
        diversity: float = 0.01,
        momentum: float = 0.0,
        scaled: bool = True,
        rate: float = 1e-4,
        compressed: int = 0,
        compressor_rate: float = 1e-3,
    ) -> None:
        super().__init__()
        if unknown := set(prior or {}) - set(term_names):
            raise UsageError(f"prior names {sorted(unknown)}, the terms are {', '.join(term_names)}")
        share = torch.tensor(
            [float((prior or {}).get(name, 1.0)) for name in term_names], dtype=torch.float64
        )
        share = share / share.sum()
        self.least = 1 / (4 * len(term_names))
        if not (share >= self.least).all():
            raise UsageError(
                f"prior: the least share is {float(share.min()):.4f}, each of {len(term_names)} terms needs "
                f"{self.least:.4f}"
            )
        self.names, self.heads = term_names, term_heads
        self.eta, self.diversity, self.momentum, self.scaled = eta, diversity, momentum, scaled
        self.rate, self.compressor_rate = rate, compressor_rate
        self.roots = nn.Parameter((share - self.least).sqrt().float())
        self.register_buffer("means", torch.zeros(len(term_names)))
        self.register_buffer("counted", torch.zeros(len(term_names)))
        self.compressor: nn.Module | None = None
        if compressed:
            width, hidden = len(set(term_heads)) * embedding_dim, 2 * embedding_dim
            layers = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, compressed, bias=False)
            self.compressor = nn.Sequential(layers[0], nn.Tanh(), layers[1])

    @property
    def weights(self) -> Float[Tensor, " term"]:
        """c."""
        return self.roots.square() + self.least

    def param_groups(self) -> list[ParamGroup]:
        # The authors' optimiser: eps 0.01 is meant so, and rates are constant.
        adam = {"optimiser": "adam", "weight_decay": 1e-4, "schedule": "constant", "options": {"eps": 0.01}}
        groups = [ParamGroup([self.roots], rate=self.rate, **adam)]
        if self.compressor is not None:
            rate = self.compressor_rate
            groups.append(ParamGroup([self.compressor], objective="compressor", rate=rate, **adam))
        return groups

    def forward(
        self,
        parts: Mapping[str, Float[Tensor, ""]],
        valid: Mapping[str, bool],
        heads: Mapping[str, Float[Tensor, "rows dim"]],
    ) -> Float[Tensor, ""]:
        losses = torch.stack([parts[name] for name in self.names])
        counts = torch.tensor([valid[name] for name in self.names], device=losses.device)
        if self.scaled and bool((losses < 0).any()):
            least = self.names[int(losses.argmin())]
            raise ContractError(f"{least} is negative: a loss that is scaled by its mean must be at least 0")
        scale = self.observe(losses.detach(), counts) if self.scaled else torch.ones_like(losses)
        total = (self.weights * scale * losses * counts).sum()
        total = total + _STIFFNESS * self.eta * (self.weights.sum() - 1).square()
        if self.diversity == 0:
            return total
        return total + self.diversity * likeness([heads[head] for head in dict.fromkeys(self.heads)])

    def observe(self, losses: Float[Tensor, " term"], counts: Tensor) -> Float[Tensor, " term"]:
        """Take the losses of a step into the means; what each is multiplied with."""
        self.counted += counts
        share = (1 / self.counted.clamp(min=1)).clamp(min=1 - self.momentum if self.momentum else 0.0)
        self.means += torch.where(counts, share * (losses - self.means), 0.0)
        means = self.means.clamp(min=_LEAST_MEAN)
        known = self.counted > 0
        return (means * known).sum() / known.sum().clamp(min=1) / means

    def concatenated(self, heads: Mapping[str, Float[Tensor, "rows dim"]]) -> Float[Tensor, "rows fused"]:
        """sqrt(c) x of each head, side by side; c is held."""
        weight = dict.fromkeys(self.heads, 0.0)
        for head, c in zip(self.heads, self.weights.detach(), strict=True):
            weight[head] = weight[head] + c
        return torch.cat([c.sqrt() * heads[head] for head, c in weight.items()], dim=1)

    def fuse(self, heads: Mapping[str, Float[Tensor, "rows dim"]]) -> Float[Tensor, "rows fused"]:
        joined = self.concatenated(heads)
        return joined if self.compressor is None else self.compressor(joined)

    def after_step(
        self, heads: Mapping[str, Float[Tensor, "rows dim"]]
    ) -> Iterator[tuple[str, Float[Tensor, ""]]]:
        if self.compressor is not None:
            joined = self.concatenated(heads)
            loss = distortion(self.compressor(joined), joined)
            if loss is not None:
                yield "compressor", loss


def likeness(heads: list[Float[Tensor, "rows dim"]]) -> Float[Tensor, ""] | float:
    """[2 - D]_+, D the mean distance of an image's embeddings by two heads. Divisor: pairs of heads x rows.

    Unit rows of m heads are at most sqrt(2 m / (m - 1)) apart on average: with three or more it is never 0.
    """
    if len(heads) < 2:
        return 0.0
    if len({head.shape[1] for head in heads}) > 1:
        raise ContractError(
            f"heads of widths {sorted({head.shape[1] for head in heads})} cannot be compared",
            way_out="heads of one width, or diversity = 0",
        )
    apart = [(a - b).square().sum(dim=1) for a, b in itertools.combinations(heads, 2)]
    # The clamp keeps the square root's gradient finite where heads agree.
    return (2 - torch.stack(apart).clamp(min=1e-12).sqrt().mean()).relu()


def distortion(
    short: Float[Tensor, "rows few"], long: Float[Tensor, "rows many"]
) -> Float[Tensor, ""] | None:
    """rows^2 times the Frobenius distance of the two matrices of squared distances, each divided by its sum.

    None when all rows of a side are alike: there are no distances to keep.
    """
    first, second = (_square_distances(rows) for rows in (short, long))
    if not (first.sum() > 0 and second.sum() > 0):
        return None
    return len(short) ** 2 * (first / first.sum() - second / second.sum()).norm()


def _square_distances(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows rows"]:
    squares = rows.square().sum(dim=1)
    return (squares[:, None] + squares - 2 * rows @ rows.T).clamp(min=0).fill_diagonal_(0)
