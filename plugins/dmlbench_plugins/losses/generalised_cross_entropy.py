"""Generalised cross-entropy, over the cosines of normalised softmax."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from dmlbench.api import UsageError
from dmlbench_plugins.losses.normalised_softmax import NormalisedSoftmax


class GeneralisedCrossEntropy(NormalisedSoftmax):
    """(1 - p^q) / q, p the probability of the own class (Zhang, Sabuncu 2018, eq. 6). Divisor: the rows.

    p is normalised softmax's. Towards q = 0 it is cross-entropy, at q = 1 the mean absolute error up to a
    factor; rows of small p, among them the wrongly labelled ones, pull p^q times as hard as in the former.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        q: float = 0.7,
        temperature: float = 0.05,
        rate_factor: float = 1.0,
    ) -> None:
        if not 0 < q <= 1:
            raise UsageError(f"q = {q} is not in (0, 1]", way_out="q = 0 would be normalised-softmax")
        super().__init__(num_classes, embedding_dim, temperature=temperature, rate_factor=rate_factor)
        self.q = q

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        cosine = functional.normalize(embeddings, dim=1) @ functional.normalize(self.weights, dim=1).T
        cross_entropy = functional.cross_entropy(cosine / self.temperature, labels, reduction="none")
        # Where q * log p is small, 1 - p^q would be a difference of two numbers near 1.
        return -torch.expm1(-self.q * cross_entropy).mean() / self.q
