"""The proximal regulariser of alternating projections."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench.api import State, UsageError


class Proximal(nn.Module):
    """strength decay^k / 2 |theta - theta_k|^2, theta_k the weights when outer step k began.

    Can, Gurbuz, Alatan 2021: a projection onto the constraints of step k is the loss plus this. theta are the
    trainable weights of trunk and heads; BatchNorm's statistics and what belongs to losses are left out. The
    optimiser sees it as a gradient, strength (theta - theta_k), which Adam scales. 0 in the first outer step,
    which has nothing to stay near to; None with strength 0. Needs a sampler with the role `outer_step`.
    """

    def __init__(self, *, strength: float = 2e-4, decay: float = 1.0) -> None:
        super().__init__()
        if strength < 0 or decay < 0:
            raise UsageError(f"strength = {strength} and decay = {decay}: at least 0")
        self.strength = strength
        self.decay = decay
        self.start = State(outer_step=0, weights={})

    def before_main(self, parameters: Mapping[str, nn.Parameter], outer_step: Int[Tensor, " rows"]) -> None:
        now = int(outer_step[0])
        if self.strength and now != self.start.outer_step:
            self.start.outer_step = now
            self.start.weights = {n: p.detach().clone() for n, p in parameters.items() if p.requires_grad}

    def forward(self, parameters: Mapping[str, nn.Parameter]) -> Float[Tensor, ""] | None:
        if self.strength == 0:
            return None
        weights = {name: p for name, p in parameters.items() if p.requires_grad}
        start = self.start.weights or {name: p.detach() for name, p in weights.items()}
        moved = torch.stack([(p - start[name].to(p.device)).square().sum() for name, p in weights.items()])
        return self.strength * self.decay**self.start.outer_step / 2 * moved.sum()
