"""Normalised softmax loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup


class NormalisedSoftmax(nn.Module):
    """Cross-entropy over cos(embedding, class weight) / temperature (Zhai, Wu 2019, without bias).

    The class weights learn at `rate_factor` times the trunk's rate, without weight decay: only their
    direction counts. Divisor: the rows.
    """

    def __init__(
        self, num_classes: int, embedding_dim: int, *, temperature: float = 0.05, rate_factor: float = 1.0
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.rate_factor = rate_factor
        self.weights = nn.Parameter(torch.randn(num_classes, embedding_dim) / embedding_dim**0.5)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.weights], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        cosine = functional.normalize(embeddings, dim=1) @ functional.normalize(self.weights, dim=1).T
        return functional.cross_entropy(cosine / self.temperature, labels)
