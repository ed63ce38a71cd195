"""Balanced self-paced metric learning: a weight of every training image, learned in turn with the network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import State, UsageError
from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


class Bspml(nn.Module):
    """Pairs count with v_i v_j; an image whose pairs cost more than an age gets v = 0 (Zhang et al. 2023).

    A reconstruction: of the paper its structure is known, its equations are not. Network and v descend on

        F = 1/n sum_ij v_i v_j c_ij - age/n sum_i v_i + mu sum_c (mean v of class c - mean of these)^2

    The network's part is this term, 1/rows sum_ij v_i v_j c_ij with v held. Divisor: the rows. None when no
    pair counts. v's part is the event `relabel`: after `warm_up`, a share of the budget, every epoch starts
    with a pass over all images, and v descends by coordinates on random batches of them, about `batch` images
    and at most `per_class` of a class, `sweeps` times as many batches as hold all images. Images with v = 0
    are not drawn in that epoch. No pass is made that would bring the sum of passes above the budget.

    `cost="shared"`: each pair's share of multi-similarity, which is what all v = 1 gives, without mining;
    `"pair"`: a softplus of each pair alone. The step is `rate` n (eta_v) and mu is `balance` / classes, so
    that one value means the same for data sets of any size.

    The age is first `age` times the `first_percentile` of the images' costs under v = 1. It grows by `growth`
    an epoch, up to `age` times the `last_percentile`. As v falls for a part of a class, the costs of the rest
    fall by as much, so `age` is about the least part of a class that stays. 100 - the percentage of wrong
    labels would be the reconstruction's `last_percentile`, if it were known.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        cost: Literal["shared", "pair"] = "shared",
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        warm_up: float = 0.15,
        batch: int = 160,
        per_class: int = 20,
        sweeps: int = 3,
        rate: float = 1.0,
        balance: float = 0.2,
        age: float = 0.45,
        first_percentile: float = 60.0,
        last_percentile: float = 90.0,
        growth: float = 1.05,
    ) -> None:
        super().__init__()
        if not 2 <= per_class <= batch:
            raise UsageError(f"per_class = {per_class} of a batch of {batch}: 2 at least, the batch at most")
        self.cost, self.alpha, self.beta, self.base = cost, alpha, beta, base
        self.warm_up, self.batch, self.per_class, self.sweeps = warm_up, batch, per_class, sweeps
        self.rate, self.balance = rate, balance
        self.age, self.growth, self.percentiles = age, growth, (first_percentile, last_percentile)
        self.register_buffer("weights", torch.ones(num_samples))
        self.register_buffer("labels", torch.zeros(num_samples, dtype=torch.int64))
        self.pace = State(passes=0, age=0.0, last_age=0.0)

    def on_train_start(self, train_labels: Int[Tensor, " num_samples"]) -> None:
        self.labels.copy_(train_labels)

    def forward(
        self,
        similarity: Float[Tensor, "rows rows"],
        positives: Bool[Tensor, "rows rows"],
        negatives: Bool[Tensor, "rows rows"],
        indices: Int[Tensor, " rows"],
    ) -> Float[Tensor, ""] | None:
        v = self.weights[indices].to(similarity.dtype)
        weights = v[:, None] * v * (positives | negatives)
        if not weights.any():
            return None
        return (weights * self.costs(similarity, positives, negatives)).sum() / len(v)

    def relabel(
        self,
        progress: float,
        steps: int,
        batch_size: int,
        embed_all: Callable[[], Float[Tensor, "num_samples dim"]],
        generator: torch.Generator,
    ) -> Int[Tensor, " num_samples"] | None:
        n = len(self.weights)
        if progress < self.warm_up or (self.pace.passes + 1) * n > steps * batch_size:
            return None
        unit, labels = functional.normalize(embed_all().float().cpu(), dim=1), self.labels.cpu()
        members = [(labels == label).nonzero().flatten() for label in labels.unique()]
        if self.pace.passes == 0:
            costs = self._costs_of_images(unit, labels, self._batches(members, 1, generator))
            first, last = (self.age * float(costs.quantile(p / 100)) for p in self.percentiles)
            self.pace.age, self.pace.last_age = first, max(first, last)
        descent = Descent(self.weights, labels, rate=self.rate * n, mu=self.balance / len(members))
        for images in self._batches(members, self.sweeps, generator):
            order = torch.randperm(len(images), generator=generator).tolist()
            descent.go(images, self.both_ways(unit[images], labels[images], n), order, self.pace.age)
        self.weights.copy_(descent.v)
        self.pace.passes = self.pace.passes + 1
        self.pace.age = min(self.growth * self.pace.age, self.pace.last_age)
        return self.labels.masked_fill(self.dropped(), -1)

    def dropped(self) -> Bool[Tensor, " num_samples"]:
        return self.weights == 0

    def costs(
        self,
        similarity: Float[Tensor, "rows rows"],
        positives: Bool[Tensor, "rows rows"],
        negatives: Bool[Tensor, "rows rows"],
    ) -> Float[Tensor, "rows rows"]:
        """c: what each ref costs its anchor."""
        pull, push = self.alpha * (self.base - similarity), self.beta * (similarity - self.base)
        if self.cost == "pair":
            far, near = functional.softplus(pull) * positives, functional.softplus(push) * negatives
        else:
            far, near = _shares(pull, positives), _shares(push, negatives)
        return far / self.alpha + near / self.beta

    def both_ways(
        self, unit: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], n: int
    ) -> Float[Tensor, "rows rows"]:
        """c_ij + c_ji, scaled from these rows to the n images where a sum grows with their number."""
        same = labels[:, None] == labels
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        costs = self.costs(unit @ unit.T, same & ~itself, ~same)
        scale = (n - 1) / max(1, len(unit) - 1) if self.cost == "pair" else 1.0
        return scale * (costs + costs.T)

    def _batches(
        self, members: Sequence[Int[Tensor, " images"]], sweeps: int, generator: torch.Generator
    ) -> Iterator[Int[Tensor, " batch"]]:
        """Random classes, at most `per_class` random images of each."""
        per_class = sum(min(len(of_class), self.per_class) for of_class in members) / len(members)
        classes = min(len(members), max(2, round(self.batch / per_class)))
        for _ in range(max(1, round(sweeps * len(self.weights) / (classes * per_class)))):
            chosen = torch.randperm(len(members), generator=generator)[:classes].tolist()
            yield torch.cat([self._some(members[c], generator) for c in chosen])

    def _some(self, images: Int[Tensor, " images"], generator: torch.Generator) -> Int[Tensor, " few"]:
        return images[torch.randperm(len(images), generator=generator)[: self.per_class]]

    def _costs_of_images(
        self,
        unit: Float[Tensor, "num_samples dim"],
        labels: Int[Tensor, " num_samples"],
        batches: Iterator[Int[Tensor, " batch"]],
    ) -> Float[Tensor, " drawn"]:
        """What each image costs under v = 1, the mean over the batches that it is in."""
        costs, times = torch.zeros(len(unit)), torch.zeros(len(unit))
        for images in batches:
            costs[images] += self.both_ways(unit[images], labels[images], len(unit)).sum(dim=1)
            times[images] += 1
        return (costs / times)[times > 0]


class Descent:
    """Projected coordinate descent on `v`. Plain numbers: steps on tensors take four times as long."""

    def __init__(
        self, weights: Float[Tensor, " n"], labels: Int[Tensor, " n"], *, rate: float, mu: float
    ) -> None:
        _, own, sizes = labels.unique(return_inverse=True, return_counts=True)
        self.v = weights.to("cpu", torch.float64, copy=True)
        sums = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, own, self.v)
        self._own, self._sizes, self._means = own.tolist(), sizes.tolist(), (sums / sizes).tolist()
        self._rate, self._mu = rate, mu

    def go(
        self,
        images: Int[Tensor, " batch"],
        both_ways: Float[Tensor, "batch batch"],
        order: Sequence[int],
        age: float,
    ) -> None:
        """A step of each of `images`, in this `order` of their places; v of all others is held.

        For image i of class c, of n_c images: v_i <- clip(v_i - rate g), where

            g = (sum_j v_j (c_ij + c_ji) - age) / n + 2 mu / n_c (mean v of class c - mean of these)
        """
        n, classes = len(self.v), len(self._means)
        v = self.v[images]
        costs = (both_ways.double() @ v).tolist()
        columns, weights, numbers = both_ways.tolist(), v.tolist(), images.tolist()
        mean = sum(self._means) / classes
        for place in order:
            own = self._own[numbers[place]]
            size = self._sizes[own]
            gradient = (costs[place] - age) / n + 2 * self._mu / size * (self._means[own] - mean)
            before = weights[place]
            weights[place] = min(1.0, max(0.0, before - self._rate * gradient))
            if moved := weights[place] - before:
                self._means[own] += moved / size
                mean += moved / size / classes
                costs = [cost + moved * more for cost, more in zip(costs, columns[place], strict=True)]
        self.v[images] = torch.tensor(weights, dtype=torch.float64)


def _shares(
    logits: Float[Tensor, "rows rows"], mask: Bool[Tensor, "rows rows"]
) -> Float[Tensor, "rows rows"]:
    """log(1 + sum exp) of each row's logits, shared out in proportion to exp."""
    whole = functional.softplus(log_sum_exp(logits, mask))[:, None]
    # A finite fill: rows without any pair would otherwise have a NaN gradient.
    return whole * torch.where(mask, logits, -1e9).softmax(dim=1) * mask
