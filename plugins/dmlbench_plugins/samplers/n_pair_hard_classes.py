"""The N-pair sampler with hard negative class mining."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench.api import Batch, State, UsageError
from dmlbench_plugins.samplers.n_pair import has_pair, pairs_of


class NPairHardClasses(nn.Module):
    """N-pair batches of classes that the network confuses (Sohn 2016).

    Every `refresh_steps` steps a pool of `candidates` random classes is drawn, and two images of each are
    embedded: f and g, raw. The batch starts with a random class of the pool and takes, again and again, the
    class c that violates the triplet constraint most with respect to the classes s that it has: the paper
    does not say how that is counted; here by the largest <f_s, g_c> - <f_s, g_s> of all s, or with
    `violation="sum"` by their sum. Equal ones: at random. The images that train are drawn anew.

    The paper embeds candidates for every batch; a pool for several batches is what a limit on gradient-free
    passes leaves. It costs 2 * candidates / refresh_steps of them a step, half as many as a step of 128
    trains on unless said otherwise. The rest is as in `NPair`.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        candidates: int = 512,
        refresh_steps: int = 16,
        violation: Literal["max", "sum"] = "max",
    ) -> None:
        super().__init__()
        if batch_size < 2 or refresh_steps < 1 or candidates < batch_size // 2:
            raise UsageError(
                f"candidates = {candidates} and refresh_steps = {refresh_steps}: a batch of {batch_size} "
                f"chooses {batch_size // 2} classes among the candidates, for one step or more"
            )
        self.classes = batch_size // 2
        self.candidates = candidates
        self.refresh_steps = refresh_steps
        self.violation = violation
        self.pool = State(labels=[], violations=torch.empty(0, 0))

    def draw(
        self,
        by_class: Mapping[int, Int[Tensor, " images"]],
        embed: Callable[[Int[Tensor, " n"]], Float[Tensor, "n dim"]],
        generator: torch.Generator,
        step: int,
    ) -> Batch:
        if step % self.refresh_steps == 0:
            self._refresh(by_class, embed, generator)
        # Labels may have changed since; and a random order decides between equal violations.
        drawable = [i for i, label in enumerate(self.pool.labels) if has_pair(by_class.get(label, ()))]
        order = torch.tensor(drawable, dtype=torch.int64)
        order = order[torch.randperm(len(order), generator=generator)]
        chosen = hardest_first(self.pool.violations[order][:, order], self.classes, self.violation)
        labels = [self.pool.labels[i] for i in order[chosen].tolist()]
        return pairs_of((by_class[label] for label in labels), generator)

    def _refresh(
        self,
        by_class: Mapping[int, Int[Tensor, " images"]],
        embed: Callable[[Int[Tensor, " n"]], Float[Tensor, "n dim"]],
        generator: torch.Generator,
    ) -> None:
        labels = [label for label, images in by_class.items() if has_pair(images)]
        kept = torch.randperm(len(labels), generator=generator)[: self.candidates].tolist()
        self.pool.labels = [labels[i] for i in kept]
        pairs = pairs_of((by_class[label] for label in self.pool.labels), generator)
        first, second = embed(pairs.indices).float().cpu().chunk(2)
        self.pool.violations = violations(first, second)


def violations(
    first: Float[Tensor, "class dim"], second: Float[Tensor, "class dim"]
) -> Float[Tensor, "class class"]:
    """<f_s, g_c> - <f_s, g_s>: by how much class c (column) is nearer to s (row) than s itself."""
    similarity = first @ second.T
    return similarity - similarity.diagonal()[:, None]


def hardest_first(
    violated: Float[Tensor, "class class"], count: int, by: Literal["max", "sum"]
) -> Int[Tensor, " chosen"]:
    """Up to `count` classes, from the first on: each next one is violated most by those before it."""
    join = torch.maximum if by == "max" else torch.add
    taken = torch.zeros(len(violated), dtype=torch.bool)
    taken[0] = True
    chosen, score = [0], violated[0]
    while len(chosen) < min(count, len(violated)):
        chosen.append(int(score.masked_fill(taken, -torch.inf).argmax()))
        taken[chosen[-1]] = True
        score = join(score, violated[chosen[-1]])
    return torch.tensor(chosen)
