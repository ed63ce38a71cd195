"""A linear head."""

from jaxtyping import Float
from torch import Tensor, nn


class LinearHead(nn.Module):
    """feature -> embedding by one linear layer; normalisation is core's."""

    def __init__(self, feature_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.linear = nn.Linear(feature_dim, embedding_dim)

    def forward(self, features: Float[Tensor, "rows feature"]) -> Float[Tensor, "rows dim"]:
        return self.linear(features)
