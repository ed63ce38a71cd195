"""The picture as its own feature."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class GreyPixels(nn.Module):
    """Grey values of the picture scaled to `side` x `side`, their mean taken away."""

    def __init__(self, *, side: int = 16) -> None:
        super().__init__()
        self.side = side
        self.feature_dim = side * side

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows feature"]:
        grey = functional.adaptive_avg_pool2d(images.mean(dim=1, keepdim=True), self.side).flatten(1)
        return grey - grey.mean(dim=1, keepdim=True)
