"""Multi-proxies anchor loss."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench.api import ParamGroup, UsageError
from dmlbench_plugins.losses.class_centres import centre_distance, class_similarity
from dmlbench_plugins.losses.proxy_anchor import proxy_anchor


class MultiProxyAnchor(nn.Module):
    """Proxy-Anchor with several proxies a class, whose soft maximum is the class's similarity S.

    A reconstruction of Saeki et al. 2021: S as in SoftTriple, the sums of Proxy-Anchor. `anchor="class"` is
    their class-wise loss, with the divisors of `proxy_anchor`; `anchor="data"` turns it around: log(1 +
    exp(-alpha (S - margin))) of the own class plus log(1 + sum of exp(alpha (S + margin))) over the others,
    divisor: the rows. `tau` weighs the mean distance of a class's proxies, which draws them together.

    The proxies learn at `rate_factor` times the trunk's rate, without weight decay.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        proxies_per_class: int = 2,
        gamma: float = 10.0,
        alpha: float = 32.0,
        margin: float = 0.1,
        anchor: Literal["class", "data"] = "class",
        tau: float = 0.0,
        rate_factor: float = 100.0,
    ) -> None:
        super().__init__()
        if proxies_per_class < 1:
            raise UsageError(f"proxies_per_class = {proxies_per_class}: a class has at least one")
        self.gamma = gamma
        self.alpha = alpha
        self.margin = margin
        self.anchor = anchor
        self.tau = tau
        self.rate_factor = rate_factor
        # Drawn as one matrix of all proxies (Proxy-Anchor's start). Equal proxies would stay equal.
        drawn = nn.init.kaiming_normal_(
            torch.empty(num_classes * proxies_per_class, embedding_dim), mode="fan_out"
        )
        self.proxies = nn.Parameter(drawn.unflatten(0, (num_classes, proxies_per_class)))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.proxies], rate_factor=self.rate_factor, weight_decay=0.0)]

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> dict[str, Float[Tensor, ""]]:
        similarity = class_similarity(embeddings, self.proxies, self.gamma)
        if self.anchor == "class":
            parts = {"anchor": proxy_anchor(similarity, labels, self.alpha, self.margin)}
        else:
            parts = {"anchor": self._data_wise(similarity, labels)}
        if self.tau:
            parts["spread"] = self.tau * centre_distance(self.proxies)
        return parts

    def _data_wise(
        self, similarity: Float[Tensor, "rows class"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        own = labels[:, None]
        pull = -self.alpha * (similarity.gather(1, own).squeeze(1) - self.margin)
        push = (self.alpha * (similarity + self.margin)).scatter(1, own, -1e9).logsumexp(dim=1)
        zero = torch.zeros_like(pull)
        return (torch.logaddexp(pull, zero) + torch.logaddexp(push, zero)).mean()
