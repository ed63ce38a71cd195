"""A head that reads several maps of the backbone, each through attention of its own."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import UsageError


class GlobalLocal(nn.Module):
    """A share of the embedding for each named map, side by side (Ebrahimpour, Qian, Beach 2022).

    Each map is refined by `SecondOrderAttention`, pooled to mean plus maximum over its places, and projected.
    `maps` are the names, in order; all that the backbone has unless said. The shares are normalised together,
    by core, so that a longer one counts for more.
    """

    def __init__(
        self,
        map_widths: Mapping[str, int],
        embedding_dim: int,
        *,
        maps: tuple[str, ...] = (),
        zeta: float = 1.0,
    ) -> None:
        super().__init__()
        names = maps or tuple(map_widths)
        if unknown := sorted(set(names) - set(map_widths)):
            raise UsageError(
                f"the backbone has no map {unknown[0]!r}", way_out=f"its maps: {', '.join(map_widths)}"
            )
        if not 1 <= len(names) <= embedding_dim:
            raise UsageError(f"{len(names)} maps share {embedding_dim} dimensions")
        share, left = divmod(embedding_dim, len(names))
        self.embedding_dim = embedding_dim
        self.attention = nn.ModuleDict({name: SecondOrderAttention(map_widths[name], zeta) for name in names})
        self.projection = nn.ModuleDict(
            {name: nn.Linear(map_widths[name], share + (i < left)) for i, name in enumerate(names)}
        )

    def forward(self, feature_maps: Mapping[str, Tensor]) -> Float[Tensor, "rows dim"]:
        return torch.cat([self._described(name, feature_maps[name]) for name in self.attention], dim=1)

    def _described(
        self, name: str, maps: Float[Tensor, "rows channel height width"]
    ) -> Float[Tensor, "rows share"]:
        tokens = self.attention[name](maps.flatten(2).mT)
        return self.projection[name](tokens.mean(dim=1) + tokens.amax(dim=1))


class SecondOrderAttention(nn.Module):
    """x + o(softmax(zeta * q(x) k(x)^T) v(x)) over the places of a map: no division by a root of the width.

    q, k, v and o are 1 x 1 convolutions, four times the square of the channels. o is zero at the start, so
    that training begins with the plain map (SOLAR's code).
    """

    def __init__(self, channels: int, zeta: float) -> None:
        super().__init__()
        self.zeta = zeta
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        for layer in (self.query, self.key, self.value):
            nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(self.out.weight)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Float[Tensor, "rows place channel"]) -> Float[Tensor, "rows place channel"]:
        q, k, v = (layer(tokens)[:, None] for layer in (self.query, self.key, self.value))
        seen = functional.scaled_dot_product_attention(q, k, v, scale=self.zeta)[:, 0]
        return tokens + self.out(seen)
