"""Two-stage generation of hard triplets."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import NewRows, ParamGroup, Triplets, UsageError

_LEAST = 1e-8
"""What distances and running losses are at least, where something is divided by them."""


class Generated(NamedTuple):
    """What the generators make of triplets."""

    stretched: tuple[Float[Tensor, "triplets dim"], Float[Tensor, "triplets dim"]]
    """Anchors and positives as they went into the first generator."""
    anchors: Float[Tensor, "triplets feature_dim"]
    positives: Float[Tensor, "triplets feature_dim"]
    negatives: Float[Tensor, "triplets feature_dim"]
    again: Float[Tensor, "pairs feature_dim"]
    """What the first generator makes of anchors and positives that were not stretched."""


class TwoStageGeneration(nn.Module):
    """A harder triplet beside each mined one, made of features (Zhu et al. 2021).

    A reconstruction: the paper's structure is known, its equations are not; they are put together from what
    it builds on (HDML, DAML, HTG). Stage 1 moves anchor and positive apart (`stretch`) and makes features of
    their class of them; stage 2 makes a feature of the negative's class for which the triplet's order is
    violated. A discriminator of classes and one more, "made", holds both to what is real. The new rows, all
    anchors, then positives, then negatives, are the embeddings of the made features: the miner
    `generated-triplets` gives them to a loss of `rows = "synthetic"`.

    Of the budget the first share, `warm_up`, trains the metric alone; then trunk and head stand still for
    steps that would have been the share `alone`, in which the generators learn; then all learn, metric last.
    Here J are the running means of the real triplets' loss, and of the generators'; alpha and beta follow
    from what J are when that begins:

        gamma = 1 - exp(-alpha / J_metric)        how hard, `hardness` at first and before
        weight_real = exp(-beta / J_generator)    and 1 - that for `weight_generated`; `share_real` at first

    By default the made rows teach the head alone; with `through_generator` also the trunk. Nothing is made of
    less than two triplets. `view` says what z is; raw embeddings want a margin of 1.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        feature_dim: int,
        steps: int,
        *,
        margin: float = 0.2,
        view: Literal["unit", "raw"] = "unit",
        warm_up: float = 0.1,
        alone: float = 0.05,
        hardness: float = 0.1,
        share_real: float = 0.5,
        smoothing: float = 0.9,
        reconstruction: float = 1.0,
        adversarial: float = 0.5,
        diversity: float = 0.1,
        reverse: float = 1.0,
        keep: float = 1.0,
        rate: float = 1e-4,
        hidden: int = 512,
        class_dim: int = 64,
        through_generator: bool = False,
    ) -> None:
        super().__init__()
        if not (0 <= hardness < 1 and 0 < share_real <= 1 and 0 <= smoothing < 1):
            raise UsageError(
                f"hardness = {hardness} and smoothing = {smoothing}: from 0 to below 1; "
                f"share_real = {share_real}: above 0, at most 1"
            )
        self.margin, self.view, self.rate, self.through_generator = margin, view, rate, through_generator
        self.hardness, self.share_real, self.smoothing = hardness, share_real, smoothing
        self.reconstruction, self.adversarial, self.diversity = reconstruction, adversarial, diversity
        self.reverse, self.keep = reverse, keep
        self.alone_from = round(warm_up * steps)
        self.joint_from = self.alone_from + round(alone * steps)

        self.classes = nn.Embedding(num_classes, class_dim)
        nn.init.normal_(self.classes.weight, std=0.02)
        self.first = _generator(embedding_dim + class_dim, hidden, feature_dim)
        self.second = _generator(3 * feature_dim, feature_dim, feature_dim, feature_dim)
        self.discriminator = nn.Sequential(
            nn.Linear(feature_dim, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, num_classes + 1)
        )
        for name in ("loss_metric", "loss_generator", "alpha", "beta", "weight_generated"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("weight_real", torch.ones(()))
        self.register_buffer("calibrated", torch.tensor(False))

    def param_groups(self) -> list[ParamGroup]:
        def adam(objective: str, *modules: nn.Module) -> ParamGroup:
            return ParamGroup(
                modules,
                objective=objective,
                optimiser="adam",
                rate=self.rate,
                weight_decay=0.0,
                schedule="constant",
                options={"betas": (0.5, 0.999)},
            )

        return [
            adam("generator", self.classes, self.first, self.second),
            adam("discriminator", self.discriminator),
        ]

    def hold(self, step: int) -> list[str]:
        return ["main"] if self.alone_from <= step < self.joint_from else []

    @property
    def gamma(self) -> Float[Tensor, ""]:
        """How hard: 0 moves no pair apart, 1 brings each to the mean distance of negatives."""
        if not self.calibrated:
            return torch.full_like(self.alpha, self.hardness)
        return 1 - torch.exp(-self.alpha / self.loss_metric.clamp(min=_LEAST))

    def before_main(
        self,
        raw: Float[Tensor, "rows dim"],
        features: Float[Tensor, "images feature_dim"],
        labels: Int[Tensor, " rows"],
        triplets: Triplets,
        head: Callable[[Tensor], Tensor],
        to_view: Callable[[Tensor, str], Tensor],
        step: int,
    ) -> Iterator[tuple[str, Float[Tensor, ""]]]:
        chosen = _with_features(triplets, features)
        if chosen.shape[1] < 2:
            return
        z = to_view(raw, self.view)
        if not self.alone_from <= step < self.joint_from:
            self._follow(self.loss_metric, triplet_loss(*z[chosen], self.margin))
        if step < self.alone_from:
            return
        if step >= self.joint_from:
            self._calibrate()
        with torch.no_grad():
            made = self.generate(z, features, labels, chosen)
        yield "discriminator", self.discriminator_loss(made, features, labels, chosen)
        made = self.generate(z, features, labels, chosen)
        embedded = [to_view(head(part), self.view) for part in (made.anchors, made.positives, made.negatives)]
        loss = self.first_loss(made, features, labels, chosen)
        loss = loss + self.second_loss(made, embedded, features, labels, chosen)
        self._follow(self.loss_generator, loss)
        yield "generator", loss

    def forward(
        self,
        raw: Float[Tensor, "rows dim"],
        features: Float[Tensor, "images feature_dim"],
        labels: Int[Tensor, " rows"],
        triplets: Triplets,
        head: Callable[[Tensor], Tensor],
        to_view: Callable[[Tensor, str], Tensor],
        step: int,
    ) -> NewRows | None:
        chosen = _with_features(triplets, features)
        if step < self.joint_from or chosen.shape[1] < 2:
            return None
        self._calibrate()
        with torch.set_grad_enabled(self.through_generator and torch.is_grad_enabled()):
            made = self.generate(to_view(raw, self.view), features, labels, chosen)
        return NewRows(head(torch.cat([made.anchors, made.positives, made.negatives])), chosen.flatten())

    def generate(
        self,
        z: Float[Tensor, "rows dim"],
        y: Float[Tensor, "images feature_dim"],
        labels: Int[Tensor, " rows"],
        triplets: Int[Tensor, "3 triplets"],
    ) -> Generated:
        """Both stages. All that the first generator reads is one batch of its BatchNorm."""
        a, p, n = triplets
        stretched = stretch(z[a], z[p], z[n], self.gamma)
        inputs = torch.cat([*stretched, z[a], z[p]])
        classes = self.classes(labels[a]).repeat(4, 1)
        made = self.first(torch.cat([inputs, classes.to(inputs.dtype)], dim=1))
        anchors, positives, again = made.tensor_split((len(a), 2 * len(a)))
        negatives = self.second(torch.cat([anchors, positives, y[n]], dim=1))
        return Generated(stretched, anchors, positives, negatives, again)

    def discriminator_loss(
        self, made: Generated, y: Tensor, labels: Int[Tensor, " rows"], triplets: Int[Tensor, "3 triplets"]
    ) -> Float[Tensor, ""]:
        """Real features are of their class, made ones of the class "made". Divisors: the features of each."""
        real = triplets.flatten()
        faked = torch.cat([made.anchors, made.positives, made.negatives])
        nobody = torch.full((len(faked),), self.classes.num_embeddings, device=labels.device)
        seen_real = functional.cross_entropy(self.discriminator(y[real]), labels[real])
        return seen_real + functional.cross_entropy(self.discriminator(faked), nobody)

    def first_loss(
        self, made: Generated, y: Tensor, labels: Int[Tensor, " rows"], triplets: Int[Tensor, "3 triplets"]
    ) -> Float[Tensor, ""]:
        """Stage 1: what is not stretched is made again, what is has its class, and ends apart stay apart.

        Divisors: the triplets, where features are compared their numbers too.
        """
        a, p, _ = triplets
        same = functional.mse_loss(made.again, y[torch.cat([a, p])])
        accepted = functional.cross_entropy(self.discriminator(made.anchors), labels[a])
        accepted = accepted + functional.cross_entropy(self.discriminator(made.positives), labels[p])
        collapse = distance(*made.stretched) / (distance(made.anchors, made.positives) + 1e-6)
        return self.reconstruction * same + self.adversarial * accepted + self.diversity * collapse.mean()

    def second_loss(
        self,
        made: Generated,
        embedded: list[Float[Tensor, "triplets dim"]],
        y: Tensor,
        labels: Int[Tensor, " rows"],
        triplets: Int[Tensor, "3 triplets"],
    ) -> Float[Tensor, ""]:
        """Stage 2: a feature near the negative's, of its class, violates the order. Divisors as above."""
        n = triplets[2]
        violated = reversed_loss(*embedded, self.margin, self.gamma)
        kept = functional.mse_loss(made.negatives, y[n])
        accepted = functional.cross_entropy(self.discriminator(made.negatives), labels[n])
        return self.reverse * violated + self.keep * kept + self.adversarial * accepted

    def _follow(self, mean: Float[Tensor, ""], value: Float[Tensor, ""]) -> None:
        """The running mean of a loss; 0 before the first value."""
        old, new = mean.clone(), value.detach().to(mean.dtype)
        mean.copy_(torch.where(old > 0, self.smoothing * old + (1 - self.smoothing) * new, new))

    def _calibrate(self) -> None:
        """alpha and beta, once, when both losses are known; then the weights of this step."""
        if not self.calibrated and self.loss_metric > 0 and self.loss_generator > 0:
            self.alpha.copy_(-torch.log1p(torch.full_like(self.alpha, -self.hardness)) * self.loss_metric)
            self.beta.copy_(-torch.full_like(self.beta, self.share_real).log() * self.loss_generator)
            self.calibrated.fill_(True)
        if self.calibrated:
            self.weight_real.copy_(torch.exp(-self.beta / self.loss_generator.clamp(min=_LEAST)))
            self.weight_generated.copy_(1 - self.weight_real)


def stretch(
    a: Float[Tensor, "pairs dim"],
    p: Float[Tensor, "pairs dim"],
    n: Float[Tensor, "pairs dim"],
    gamma: Float[Tensor, ""],
) -> tuple[Float[Tensor, "pairs dim"], Float[Tensor, "pairs dim"]]:
    """Pairs closer than d0, the mean of |a - n|, are moved apart by gamma (d0 - d), both ends alike."""
    d0, d = distance(a, n).mean().detach(), distance(a, p)
    by = torch.where((d > _LEAST) & (d < d0), gamma * (d0 - d) / (2 * d), 0.0)[:, None]
    return a + by * (a - p), p + by * (p - a)


def triplet_loss(
    a: Float[Tensor, "triplets dim"],
    p: Float[Tensor, "triplets dim"],
    n: Float[Tensor, "triplets dim"],
    margin: float | Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """[|a - p|^2 - |a - n|^2 + margin]_+. Divisor: the triplets."""
    gap = (a - p).square().sum(dim=1) - (a - n).square().sum(dim=1)
    return functional.relu(gap + margin).mean()


def reversed_loss(
    a: Float[Tensor, "triplets dim"],
    p: Float[Tensor, "triplets dim"],
    n: Float[Tensor, "triplets dim"],
    margin: float,
    gamma: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """[|a - n|^2 - |a - p|^2 + mu]_+ with mu = margin (2 gamma - 1). Divisor: the triplets.

    So the order is all but violated at first (DAML), and reversed with the whole margin at last (HTG).
    """
    return triplet_loss(a, n, p, margin * (2 * gamma - 1))


def distance(a: Float[Tensor, "rows dim"], b: Float[Tensor, "rows dim"]) -> Float[Tensor, " rows"]:
    """Euclidean, at least 1e-8: the root has a finite gradient where rows are equal."""
    return (a - b).square().sum(dim=1).clamp(min=_LEAST**2).sqrt()


def _generator(*widths: int) -> nn.Sequential:
    """Linear layers, between them BatchNorm with the statistics of its own batch, never kept, and ReLU.

    So no pass through it, whoever it is for, changes anything.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, track_running_stats=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def _with_features(triplets: Triplets, features: Tensor) -> Int[Tensor, "3 triplets"]:
    """Those triplets whose rows are images: what an augmenter made has no feature."""
    indices = triplets.indices
    return indices[:, (indices < len(features)).all(dim=0)]
