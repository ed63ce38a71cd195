"""From the inputs of a track for pretrained networks to the inputs that a network was trained on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

TRACK_MEAN = TRACK_STD = 0.5
"""What such a track says in `[images]`, whatever the network: inputs in [-1, 1]."""


class Renormalise(nn.Module):
    """`(pixel - mean) / std` with the network's own `mean` and `std`: one for all channels, or one each."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        own_mean, own_std = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)
        # Not in `state_dict()`: the names of a pretrained network stay as they are published.
        self.register_buffer("factor", TRACK_STD / own_std, persistent=False)
        self.register_buffer("offset", (TRACK_MEAN - own_mean) / own_std, persistent=False)

    def forward(
        self, images: Float[Tensor, "rows channel height width"]
    ) -> Float[Tensor, "rows channel height width"]:
        return torch.addcmul(self.offset, images, self.factor)
