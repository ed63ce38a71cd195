"""Conv4 that is told the domain of each image."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dmlbench_plugins.backbones.conv4 import Conv4


class Conv4Conditioned(Conv4):
    """Conv4 with a conditional squeeze-and-excitation unit after each block (SAKE; MATHM).

    Channels of a block's map u are scaled by sigmoid(W2 relu(W1 mean(u)) + v m); m, the domain, is 0 or 1.
    `reduction` is how many times narrower the hidden layer is. v starts at 0: at first both domains have one
    encoder, and what they need apart is learnt.
    """

    def __init__(self, image_channels: int, image_size: int, *, width: int = 64, reduction: int = 16) -> None:
        super().__init__(image_channels, image_size, width=width)
        self.units = nn.ModuleList(_ConditionalUnit(width, reduction) for _ in self.blocks)

    def forward(
        self, images: Float[Tensor, "rows channel height width"], domain: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows feature"]:
        maps = images
        for block, unit in zip(self.blocks, self.units, strict=True):
            maps = unit(block(maps), domain)
        return maps.flatten(1)


class _ConditionalUnit(nn.Module):
    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.squeeze = nn.Linear(width, hidden)
        self.excite = nn.Linear(hidden, width)
        self.tag = nn.Parameter(torch.zeros(width))

    def forward(
        self, maps: Float[Tensor, "rows width h w"], domain: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows width h w"]:
        scale = self.excite(torch.relu(self.squeeze(maps.mean(dim=(2, 3)))))
        scale = torch.sigmoid(scale + self.tag * domain[:, None])
        return maps * scale[:, :, None, None]
