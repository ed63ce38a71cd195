"""Centre loss: a regulariser whose centres follow an objective of their own."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench.api import ParamGroup


class Center(nn.Module):
    """Half the squared distance of each embedding to the centre of its class (Wen et al. 2016, eq. 2).

    The centres take the paper's own step (eq. 4): c_y -= rate * sum(c_y - x) / (1 + n_y) over the n_y images
    of the class in the batch, which is plain gradient descent on the yielded objective. Divisor: the rows.
    """

    def __init__(self, num_classes: int, embedding_dim: int, *, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.centers = nn.Parameter(torch.zeros(num_classes, embedding_dim))

    def param_groups(self) -> list[ParamGroup]:
        return [
            ParamGroup(
                [self.centers],
                objective="centers",
                optimiser="sgd",
                rate=self.rate,
                weight_decay=0.0,
                schedule="constant",
            )
        ]

    def before_main(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Iterator[tuple[str, Float[Tensor, ""]]]:
        images = torch.bincount(labels, minlength=len(self.centers))[labels]
        yield "centers", (self._half_squares(embeddings, self.centers, labels) / (1 + images)).sum()

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        return self._half_squares(embeddings, self.centers.detach(), labels).mean()

    @staticmethod
    def _half_squares(embeddings: Tensor, centers: Tensor, labels: Tensor) -> Float[Tensor, " rows"]:
        return (embeddings - centers[labels]).square().sum(dim=1) / 2
