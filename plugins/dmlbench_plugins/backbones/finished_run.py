"""The network of a finished run as a teacher."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.api import FinishedNetwork


class FinishedRun(nn.Module):
    """Images to the embeddings that a finished run was scored by, e.g. those of its unit view.

    `run` is its folder, `runs/RUN_KEY`, `digest` that of its key and weights: leave it empty once, and the
    error says what it is.
    """

    def __init__(self, *, run: str, digest: str) -> None:
        super().__init__()
        self.network = FinishedNetwork(Path(run), digest)
        self.feature_dim = self.network.dimension

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows dim"]:
        return self.network(images)
