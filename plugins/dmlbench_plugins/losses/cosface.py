"""CosFace loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup


class CosFace(nn.Module):
    """Cross-entropy over scale * (cosine - margin of the own class) (Wang et al. 2018, eq. 4).

    The class weights learn at `rate_factor` times the trunk's rate, without weight decay: only their
    direction counts. Divisor: the rows.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        rate_factor: float = 10.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.rate_factor = rate_factor
        self.weights = nn.Parameter(torch.randn(num_classes, embedding_dim) / embedding_dim**0.5)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.weights], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        cosine = functional.normalize(embeddings, dim=1) @ functional.normalize(self.weights, dim=1).T
        margin = torch.full_like(cosine[:, :1], -self.margin)
        return functional.cross_entropy(self.scale * cosine.scatter_add(1, labels[:, None], margin), labels)
