"""A student's embedding, through a learned linear map, is its teacher's."""

from jaxtyping import Float
from torch import Tensor, nn


class FeatureMatching(nn.Module):
    """|W s + b - t|^2 / 2 (FitNets, Romero et al. 2015, eq. 3, with a linear regressor). Divisor: the rows.

    FitNets match a hidden layer, and before the student is trained; here it is the embedding, all along. W
    and b are learned with the network, at its rate.
    """

    def __init__(self, embedding_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, teacher_dim)

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], teacher: Float[Tensor, "rows teacher_dim"]
    ) -> Float[Tensor, ""]:
        return (self.linear(embeddings) - teacher.detach()).square().sum(dim=1).mean() / 2
