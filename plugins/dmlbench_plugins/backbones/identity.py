"""A head that does nothing."""

from jaxtyping import Float
from torch import Tensor, nn


class IdentityHead(nn.Module):
    """The embedding is the feature."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.embedding_dim = feature_dim

    def forward(self, features: Float[Tensor, "rows feature"]) -> Float[Tensor, "rows feature"]:
        return features
