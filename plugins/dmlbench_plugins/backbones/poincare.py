"""A head whose embeddings are points of a Poincaré ball, and the geometry of the ball."""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import UsageError

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical points."""


class PoincareHead(nn.Module):
    """LayerNorm without weights, then one linear layer, orthogonal at the start; as HIER's code has it.

    `raw` is a tangent vector at the origin, and `ball` the point that it leads to, by `to_ball`. The point is
    shrunk by sqrt(curvature) into the ball of radius 1, where core's `distance = "poincare"` lives: distances
    there are sqrt(curvature) times those of `ball_distance`.
    """

    view_names = ("ball",)

    def __init__(
        self,
        feature_dim: int,
        embedding_dim: int,
        *,
        curvature: float = 0.1,
        clip: float = 2.3,
        riemannian: bool = True,
    ) -> None:
        super().__init__()
        if not curvature > 0:
            raise UsageError(f"curvature = {curvature}: a ball has a positive one")
        check_ball(curvature, clip)
        self.embedding_dim = embedding_dim
        self.curvature = curvature
        self.clip = clip
        self.riemannian = riemannian
        self.norm = nn.LayerNorm(feature_dim, elementwise_affine=False)
        self.linear = nn.Linear(feature_dim, embedding_dim)
        nn.init.orthogonal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "rows feature"]) -> Float[Tensor, "rows dim"]:
        return self.linear(self.norm(features))

    def views(self, raw: Float[Tensor, "rows dim"]) -> dict[str, Float[Tensor, "rows dim"]]:
        points = to_ball(raw, self.curvature, self.clip, riemannian=self.riemannian)
        return {"ball": math.sqrt(self.curvature) * points}


def check_ball(curvature: float, clip: float) -> None:
    """Raise `UsageError` for a ball that is none, or a clip that leads to its edge, where distances end."""
    edge = math.tanh(math.sqrt(max(curvature, 0.0)) * clip)
    if not (0 <= curvature < math.inf and clip > 0 and edge <= 1 - 1e-3):
        raise UsageError(
            f"curvature = {curvature}, clip = {clip}",
            way_out="a curvature of at least 0, a positive clip, and sqrt(curvature) * clip at most 3.8",
        )


def to_ball(
    tangent: Float[Tensor, "n dim"], curvature: float, clip: float, *, riemannian: bool
) -> Float[Tensor, "n dim"]:
    """Points of the ball of curvature -c, radius 1 / sqrt(c): the exponential map at the origin.

    Vectors longer than `clip` are shortened to it first. The distance of a point to the origin is twice the
    vector's length. With `riemannian` the gradient that arrives at a point x is multiplied by
    (1 - c |x|^2)^2 / 4 on its way back, as in HIER's code: it is then not the derivative any more.
    Curvature 0 is the sphere: unit vectors.

    >>> to_ball(torch.tensor([[1.0, 0.0]]), 0.1, 2.3, riemannian=False)
    tensor([[0.9679, 0.0000]])
    """
    if curvature == 0:
        return functional.normalize(tangent, dim=1)
    root = math.sqrt(curvature)
    length = tangent.norm(dim=1, keepdim=True)
    tangent = tangent * (clip / (length + 1e-5)).clamp(max=1)  # 1e-5: as the code
    length = tangent.norm(dim=1, keepdim=True).clamp(min=_SMALLEST_SQUARE)
    points = (root * length).tanh() * tangent / (root * length)
    if riemannian and points.requires_grad:
        inside = 1 - curvature * points.detach().square().sum(dim=1, keepdim=True)
        points.register_hook(lambda gradient: gradient * inside.square() / 4)
    return points


def ball_distance(
    x: Float[Tensor, "n dim"], y: Float[Tensor, "m dim"], curvature: float
) -> Float[Tensor, "n m"]:
    """(2 / sqrt(c)) asinh( sqrt(c) |x - y| / sqrt((1 - c |x|^2) (1 - c |y|^2)) ), by one matrix product.

    Points of curvature 0 are unit vectors, their distance 2 - 2 cos.
    """
    x_square, y_square = x.square().sum(dim=1, keepdim=True), y.square().sum(dim=1)
    square = (x_square + y_square - 2 * x @ y.T).clamp(min=_SMALLEST_SQUARE)
    if curvature == 0:
        return square
    inside = (1 - curvature * x_square) * (1 - curvature * y_square)
    return 2 / math.sqrt(curvature) * (curvature * square / inside).sqrt().asinh()
