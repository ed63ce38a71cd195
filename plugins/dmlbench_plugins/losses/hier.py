"""HIER: a hierarchy of learned proxies in hyperbolic space, as a regulariser of any loss."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dmlbench.api import ParamGroup, UsageError
from dmlbench_plugins.backbones.poincare import ball_distance, check_ball, to_ball


class Hier(nn.Module):
    """Two related points share a lower ancestor than either with an unrelated one (Kim et al. 2023).

    Raw embeddings and learned proxies are tangent vectors that `to_ball` maps to points; proxies stand for
    ancestors. `related_triplets` says which points are related. Each triplet has an ancestor of its related
    two and one of all three, both drawn by `ancestors`, and costs `hinge`. Parts: the `images`, and the
    `proxies` in their place, so that these form higher levels. Divisor: the triplets of each part; a part
    without any is 0. Curvature 0 is the code's other switch: unit vectors and 2 - 2 cos.

    The proxies learn at `rate_factor` times the trunk's rate, with its weight decay. As the authors' code,
    where `i_may_be_k` was true.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        proxies: int = 512,
        neighbours: int = 20,
        draws: int = 50,
        temperature: float = 0.1,
        margin: float = 0.1,
        curvature: float = 0.1,
        clip: float = 2.3,
        riemannian: bool = True,
        rate_factor: float = 50.0,
        i_may_be_k: bool = False,
    ) -> None:
        super().__init__()
        check_ball(curvature, clip)
        if min(proxies, neighbours, draws) < 1 or temperature <= 0:
            raise UsageError(
                f"{proxies} proxies, {neighbours} neighbours, {draws} draws, temperature {temperature}",
                way_out="at least 1 of each, and a positive temperature",
            )
        self.neighbours = neighbours
        self.draws = draws
        self.temperature = temperature
        self.margin = margin
        self.curvature = curvature
        self.clip = clip
        self.riemannian = riemannian
        self.rate_factor = rate_factor
        self.i_may_be_k = i_may_be_k
        # Well inside the clip, as the code.
        self.proxies = nn.Parameter(0.9 * clip * torch.randn(proxies, embedding_dim) / embedding_dim**0.5)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.proxies], rate_factor=self.rate_factor)]

    def forward(
        self, raw: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], generator: torch.Generator
    ) -> dict[str, Float[Tensor, ""]] | None:
        points, proxies = self.placed(raw), self.placed(self.proxies)
        images = self._mean_cost(points, proxies, labels[:, None] == labels, generator)
        among = self._mean_cost(proxies, proxies, None, generator)
        if images is None and among is None:
            return None
        nothing = points.sum() * 0.0  # NaN if they are
        return {
            "images": nothing if images is None else images,
            "proxies": nothing if among is None else among,
        }

    def placed(self, tangent: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Where tangent vectors lead to."""
        return to_ball(tangent, self.curvature, self.clip, riemannian=self.riemannian)

    def _mean_cost(
        self,
        nodes: Float[Tensor, "nodes dim"],
        proxies: Float[Tensor, "proxies dim"],
        same: Bool[Tensor, "nodes nodes"] | None,
        generator: torch.Generator,
    ) -> Float[Tensor, ""] | None:
        with torch.no_grad():
            closeness = (-ball_distance(nodes, nodes, self.curvature)).exp()
            if same is not None:
                closeness = closeness + same  # a class first, however far apart
            triplets = related_triplets(closeness, self.neighbours, self.draws, generator, self.i_may_be_k)
        if triplets.shape[1] == 0:
            return None
        distances = ball_distance(nodes, proxies, self.curvature)[triplets]
        of_two = torch.maximum(distances[0], distances[1])
        pair = ancestors(of_two, self.temperature, generator)
        triple = ancestors(torch.maximum(of_two, distances[2]), self.temperature, generator)
        return hinge(distances, pair, triple, self.margin).mean()


def related_triplets(
    closeness: Float[Tensor, "n n"], neighbours: int, draws: int, generator: torch.Generator, i_may_be_k: bool
) -> Int[Tensor, "3 triplets"]:
    """(i, j, k): i and j are each among the other's `neighbours` closest, itself included; i and k are not.

    Anchors are all i with two or more such j and some k. Each draws `draws` pairs (j, k), with replacement.
    """
    itself = torch.eye(len(closeness), dtype=torch.bool, device=closeness.device)
    closest = closeness.topk(min(neighbours, len(closeness)), dim=1).indices
    near = torch.zeros_like(itself).scatter_(1, closest, True)
    mutual = near & near.T & ~itself
    others = ~mutual if i_may_be_k else ~mutual & ~itself
    anchors = ((mutual.sum(dim=1) >= 2) & others.any(dim=1)).nonzero()[:, 0]
    j, k = (_drawn(mask[anchors], draws, generator) for mask in (mutual, others))
    return torch.stack([anchors.repeat_interleave(draws), j.flatten(), k.flatten()])


def _drawn(mask: Bool[Tensor, "n m"], draws: int, generator: torch.Generator) -> Int[Tensor, "n draws"]:
    """Uniform places in each row's mask."""
    count = mask.cumsum(dim=1)
    uniform = torch.rand(len(mask), draws, generator=generator).to(mask.device)
    return torch.searchsorted(count, (uniform * count[:, -1:]).long() + 1)


def ancestors(
    reach: Float[Tensor, "triplets proxies"], temperature: float, generator: torch.Generator
) -> Float[Tensor, "triplets proxies"]:
    """One proxy of each row, 1 among zeros, with probability softmax(-reach / temperature).

    The gradient is that of the softmax whose logits have the noise in them (straight-through Gumbel).
    """
    noise = torch.empty(reach.shape, dtype=reach.dtype).exponential_(generator=generator).log()
    share = (-reach / temperature - noise.to(reach.device)).softmax(dim=1)
    chosen = torch.zeros_like(share).scatter_(1, share.argmax(dim=1, keepdim=True), 1)
    return chosen + (share - share.detach())


def hinge(
    distances: Float[Tensor, "3 triplets proxies"],
    pair: Float[Tensor, "triplets proxies"],
    triple: Float[Tensor, "triplets proxies"],
    margin: float,
) -> Float[Tensor, " triplets"]:
    """[d_i + margin]_+ + [d_j + margin]_+ + [margin - d_k]_+, where d is a node's distance to the ancestor of
    the two less that to the ancestor of the three; 0 where both are one proxy."""
    gap = (distances * (pair - triple)).sum(dim=2)
    cost = (gap[:2] + margin).relu().sum(dim=0) + (margin - gap[2]).relu()
    return cost * (pair.argmax(dim=1) != triple.argmax(dim=1))
