"""Conv4 that shows its last two maps."""

from jaxtyping import Float
from torch import Tensor

from dmlbench_plugins.backbones.conv4 import Conv4


class Conv4Maps(Conv4):
    """Conv4, with two named maps beside its feature: `local`, of the third block, and `global`, of the last.

    The local one is twice as fine. The feature is the global map, flattened.
    """

    def __init__(self, image_channels: int, image_size: int, *, width: int = 64) -> None:
        super().__init__(image_channels, image_size, width=width)
        self.feature_maps = {"local": width, "global": width}

    def forward(
        self, images: Float[Tensor, "rows channel height width"]
    ) -> tuple[Float[Tensor, "rows feature"], dict[str, Tensor]]:
        local = self.blocks[:3](images)
        last = self.blocks[3](local)
        return last.flatten(1), {"local": local, "global": last}
