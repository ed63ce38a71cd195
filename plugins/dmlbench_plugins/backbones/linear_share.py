"""A linear head that has a share of the track's dimension."""

from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.api import UsageError


class LinearShare(nn.Module):
    """feature -> embedding_dim / parts numbers by one linear layer: so many heads make the track's width."""

    def __init__(self, feature_dim: int, embedding_dim: int, *, parts: int = 2) -> None:
        super().__init__()
        if not 1 <= parts <= embedding_dim or embedding_dim % parts:
            raise UsageError(f"parts = {parts} do not divide an embedding of {embedding_dim}")
        self.embedding_dim = embedding_dim // parts
        self.linear = nn.Linear(feature_dim, self.embedding_dim)

    def forward(self, features: Float[Tensor, "rows feature"]) -> Float[Tensor, "rows dim"]:
        return self.linear(features)
