"""The small convolutional network of few-shot learning."""

from jaxtyping import Float
from torch import Tensor, nn


class Conv4(nn.Module):
    """Four blocks of 3 x 3 convolution, BatchNorm, ReLU, 2 x 2 maximum, then the flattened map.

    The maximum is taken before the ReLU: the same function, with a quarter of the ReLU's work. The
    convolutions have no bias, since BatchNorm would take it away again.
    """

    def __init__(self, image_channels: int, image_size: int, *, width: int = 64) -> None:
        super().__init__()
        blocks = [_block(image_channels if i == 0 else width, width) for i in range(4)]
        self.blocks = nn.Sequential(*blocks)
        self.feature_dim = width * (image_size // 16) ** 2

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows feature"]:
        return self.blocks(images).flatten(1)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
    )
