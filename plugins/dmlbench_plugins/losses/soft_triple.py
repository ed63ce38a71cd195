"""SoftTriple loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup, UsageError
from dmlbench_plugins.losses.class_centres import centre_distance, class_similarity


class SoftTriple(nn.Module):
    """Cross-entropy over scale * (S - margin of the own class), S a soft maximum over a class's centres.

    Qian et al. 2019. `gamma` sharpens that maximum; it is 1 / gamma of the paper. Divisor: the rows. The
    regulariser draws a class's centres together, so that it need not use all of them: `tau` times the sum of
    their distances over unordered pairs, divided by classes x centres x (centres - 1): half the mean.

    The centres learn at `rate_factor` times the trunk's rate, without weight decay.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        centres_per_class: int = 10,
        scale: float = 20.0,
        gamma: float = 10.0,
        margin: float = 0.01,
        tau: float = 0.2,
        rate_factor: float = 100.0,
    ) -> None:
        super().__init__()
        if centres_per_class < 1:
            raise UsageError(f"centres_per_class = {centres_per_class}: a class has at least one")
        self.scale = scale
        self.gamma = gamma
        self.margin = margin
        self.tau = tau
        self.rate_factor = rate_factor
        # Their direction alone counts; unit length on average, so that a step turns them as it does proxies.
        drawn = torch.randn(num_classes, centres_per_class, embedding_dim)
        self.centres = nn.Parameter(drawn / embedding_dim**0.5)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.centres], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> dict[str, Float[Tensor, ""]]:
        similarity = class_similarity(embeddings, self.centres, self.gamma)
        margin = torch.full_like(similarity[:, :1], -self.margin)
        logits = self.scale * similarity.scatter_add(1, labels[:, None], margin)
        parts = {"classification": functional.cross_entropy(logits, labels)}
        if self.tau:
            parts["spread"] = self.tau / 2 * centre_distance(self.centres)
        return parts
