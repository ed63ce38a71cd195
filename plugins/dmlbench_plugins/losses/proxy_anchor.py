"""Proxy-Anchor loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup
from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


class ProxyAnchor(nn.Module):
    """One learned proxy a class, compared with all rows of the batch at once (Kim et al. 2020, eq. 4).

    The proxies learn at `rate_factor` times the trunk's rate, without weight decay. Divisors: those of
    `proxy_anchor`.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        alpha: float = 32.0,
        margin: float = 0.1,
        rate_factor: float = 100.0,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.margin = margin
        self.rate_factor = rate_factor
        self.proxies = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")  # as the authors' code

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.proxies], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        cosine = functional.normalize(embeddings, dim=1) @ functional.normalize(self.proxies, dim=1).T
        return proxy_anchor(cosine, labels, self.alpha, self.margin)


def proxy_anchor(
    similarity: Float[Tensor, "rows class"], labels: Int[Tensor, " rows"], alpha: float, margin: float
) -> Float[Tensor, ""]:
    """Each class c is an anchor among the rows, with s their similarity to it:

    log(1 + sum over its rows of exp(-alpha (s - margin))), divisor: the classes in the batch; plus
    log(1 + sum over all other rows of exp(alpha (s + margin))), divisor: all classes.
    """
    own = labels[:, None] == torch.arange(similarity.shape[1], device=labels.device)
    one = similarity.new_zeros(())  # by its logarithm; softplus forgets it where sums are large
    pull = torch.logaddexp(log_sum_exp(-alpha * (similarity - margin), own, dim=0), one)
    push = torch.logaddexp(log_sum_exp(alpha * (similarity + margin), ~own, dim=0), one)
    return pull.sum() / own.any(dim=0).sum() + push.mean()
