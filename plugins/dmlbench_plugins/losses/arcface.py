"""ArcFace loss."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup, UsageError

_LEAST_SQUARED_SINE = 1e-7
"""About what fp32 resolves of 1 - cos^2. The square root's gradient grows beyond bounds below it."""


class ArcFace(nn.Module):
    """Cross-entropy over scale * cosine, where the own class's angle is `margin` radians larger.

    Deng et al. 2019. Where angle + margin > pi its cosine rises again; cos(angle) - margin sin(margin) takes
    its place, as in the authors' code, which goes on falling, from about margin^2 / 2 lower. With
    `easy_margin` the margin counts only for angles below a right one, and larger ones have their plain
    cosine, from sin(margin) higher. An arc cosine, whose gradient is infinite where a row meets its class
    weight, is not needed.

    The class weights learn at `rate_factor` times the trunk's rate, without weight decay: only their
    direction counts. Divisor: the rows.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        easy_margin: bool = False,
        rate_factor: float = 10.0,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2:
            raise UsageError(f"margin = {margin}: radians, from 0 to below pi / 2")
        self.scale = scale
        self.margin = margin
        self.easy_margin = easy_margin
        self.rate_factor = rate_factor
        self.weights = nn.Parameter(torch.randn(num_classes, embedding_dim) / embedding_dim**0.5)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.weights], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        cosine = functional.normalize(embeddings, dim=1) @ functional.normalize(self.weights, dim=1).T
        own = labels[:, None]
        logits = self.scale * cosine.scatter(1, own, self._turned(cosine.gather(1, own)))
        return functional.cross_entropy(logits, labels)

    def _turned(self, cosine: Float[Tensor, "rows 1"]) -> Float[Tensor, "rows 1"]:
        """The cosine of an angle that is `margin` larger, or what takes its place."""
        sine = (1 - cosine.square()).clamp(min=_LEAST_SQUARED_SINE).sqrt()
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        if self.easy_margin:
            return torch.where(cosine > 0, turned, cosine)
        falling = cosine > -math.cos(self.margin)
        return torch.where(falling, turned, cosine - self.margin * math.sin(self.margin))
