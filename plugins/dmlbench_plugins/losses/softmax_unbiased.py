"""A linear classifier without a bias, with cross-entropy."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup


class SoftmaxUnbiased(nn.Module):
    """Cross-entropy of W x embedding, in the view that the term asks for (SAKE and MATHM: `raw`).

    The weights learn at `rate_factor` times the trunk's rate. Divisor: the rows.
    """

    def __init__(self, num_classes: int, embedding_dim: int, *, rate_factor: float = 1.0) -> None:
        super().__init__()
        self.rate_factor = rate_factor
        self.linear = nn.Linear(embedding_dim, num_classes, bias=False)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.linear], rate_factor=self.rate_factor)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        return functional.cross_entropy(self.linear(embeddings), labels)
