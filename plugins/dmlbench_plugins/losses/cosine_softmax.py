"""Softmax over cosines to class rows, with a learnt scale."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup, UsageError


class CosineSoftmax(nn.Module):
    """Cross-entropy over scale * cos(embedding, class row) (Qi, Brown, Lowe 2018), without bias.

    The rows are put back to length 1 after each step, as in the paper, and are `class_rows`: what core adds
    rows of new classes to. Rows and scale learn at `rate_factor` times the trunk's rate, without weight
    decay, which would shrink the scale: at scale 1 the loss of 200 classes stays above 3.3. Divisor: the
    rows.
    """

    def __init__(
        self, num_classes: int, embedding_dim: int, *, scale: float = 10.0, rate_factor: float = 10.0
    ) -> None:
        super().__init__()
        if scale <= 0:
            raise UsageError(f"scale = {scale}: above 0")
        self.rate_factor = rate_factor
        self.class_rows = nn.Parameter(functional.normalize(torch.randn(num_classes, embedding_dim), dim=1))
        self.scale = nn.Parameter(torch.tensor(scale))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.class_rows, self.scale], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        return functional.cross_entropy(self.scale * (embeddings @ self.class_rows.T), labels)

    @torch.no_grad()
    def after_step(self) -> None:
        self.class_rows.copy_(functional.normalize(self.class_rows, dim=1))
