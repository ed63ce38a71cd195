"""Proxy-NCA in the paper's form and in the softmax form of ProxyNCA++."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup, UsageError


class ProxyNca(nn.Module):
    """One learned proxy a class; squared distances between scaled unit vectors.

    `form="paper"` (Movshovitz-Attias et al. 2017): d(x, p_y) + log sum over the other classes of exp(-d); the
    positive is not in the denominator, so the loss can be negative. `form="softmax"` (ProxyNCA++, Teh et
    al. 2020): the positive is included, i.e. cross-entropy over -d; most public code under the first name
    is this one. Only the product of the scales matters; (3, 3) is temperature 1/9. Divisor: the rows.

    `label_smoothing` e is torch's (target 1 - e + e/C); who spreads e over the other classes alone means
    e * C / (C - 1) here. The proxies learn at `rate_factor` times the trunk's rate, without weight decay.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        form: Literal["paper", "softmax"] = "paper",
        scale_embedding: float = 3.0,
        scale_proxy: float = 3.0,
        label_smoothing: float = 0.0,
        rate_factor: float = 10.0,
    ) -> None:
        super().__init__()
        if form == "paper" and label_smoothing:
            raise UsageError(
                'label_smoothing needs form = "softmax": the paper\'s form has no target to smooth'
            )
        self.form = form
        self.scale_embedding = scale_embedding
        self.scale_proxy = scale_proxy
        self.label_smoothing = label_smoothing
        self.rate_factor = rate_factor
        # Normal / 8, as the public implementations: about unit length at 64 dimensions.
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim) / 8)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.proxies], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        x = functional.normalize(embeddings, dim=1) * self.scale_embedding
        p = functional.normalize(self.proxies, dim=1) * self.scale_proxy
        # |x - p|^2 by its product form: rows x classes, never rows x classes x dim.
        closeness = 2 * x @ p.T - self.scale_embedding**2 - self.scale_proxy**2
        if self.form == "softmax":
            return functional.cross_entropy(closeness, labels, label_smoothing=self.label_smoothing)
        own = functional.one_hot(labels, len(self.proxies)).bool()
        others = closeness.masked_fill(own, -torch.inf).logsumexp(dim=1)
        return (others - closeness[own]).mean()
