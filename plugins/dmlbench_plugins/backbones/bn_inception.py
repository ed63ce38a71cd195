"""Inception with BatchNorm (Ioffe, Szegedy 2015), the parameters named as in the file that the field uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.api import ParamGroup
from dmlbench_plugins.backbones.renormalise import Renormalise
from dmlbench_plugins.backbones.weights import load_by_name, read_state

#: What the published weights were trained on: red, green and blue of 0 to 255 less these; blue comes first.
MEAN = (128 / 255, 117 / 255, 104 / 255)
STD = (1 / 255,) * 3

#: Widths of the blocks: 1 x 1; reduction and 3 x 3; reduction and two 3 x 3; projection of what is pooled.
#: A block without the first and the last halves the maps and pools the largest.
BLOCKS: dict[str, tuple[int, tuple[int, int], tuple[int, int], int]] = {
    "3a": (64, (64, 64), (64, 96), 32),
    "3b": (64, (64, 96), (64, 96), 64),
    "3c": (0, (128, 160), (64, 96), 0),
    "4a": (224, (64, 96), (96, 128), 128),
    "4b": (192, (96, 128), (96, 128), 128),
    "4c": (160, (128, 160), (128, 160), 128),
    "4d": (96, (128, 192), (160, 192), 128),
    "4e": (0, (128, 192), (192, 256), 0),
    "5a": (352, (192, 320), (160, 224), 128),
    "5b": (352, (192, 320), (192, 224), 128),
}
_LARGEST = "5b"
"""The other blocks pool the mean of 3 x 3, this one the largest."""


class BnInception(nn.Module):
    """Images to the mean or the largest of each channel before the classifier. Grey images count as three
    equal channels.

    `weights`: a torch file with the tensors of this network, in the names that Caffe's had, and `sha256` its
    digest. They expect a track with mean and std of 0.5. `rate_factor` multiplies the track's rate.
    """

    feature_dim = 1024

    def __init__(
        self,
        *,
        pool: Literal["mean", "max"] = "mean",
        weights: str = "",
        sha256: str = "",
        rate_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.rate_factor = rate_factor
        self.pool = pool
        self.prepare: nn.Module = nn.Identity()
        self._add("conv1_7x7_s2", 3, 64, side=7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, side=3)
        inputs = 192
        for name, widths in BLOCKS.items():
            inputs = self._add_block(f"inception_{name}", inputs, *widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if weights:
            state = read_state(Path(weights), sha256)
            # The statistics have a leading axis of 1, as in Caffe.
            state = {name: value.squeeze(0) if "_bn." in name else value for name, value in state.items()}
            load_by_name(self, state, Path(weights), without=("last_linear.", "fc."))
            self.prepare = Renormalise(MEAN, STD)

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows 1024"]:
        maps = self.prepare(images.expand(-1, 3, -1, -1)).flip(1)
        maps = _halved(self._run(["conv1_7x7_s2"], maps))
        maps = _halved(self._run(["conv2_3x3_reduce", "conv2_3x3"], maps))
        for name in BLOCKS:
            maps = self._run_block(name, maps)
        return maps.mean(dim=(2, 3)) if self.pool == "mean" else maps.amax(dim=(2, 3))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.parameters(), rate_factor=self.rate_factor)]

    def _add(self, name: str, inputs: int, outputs: int, *, side: int = 1, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, side, stride, padding=side // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))

    def _add_block(
        self,
        name: str,
        inputs: int,
        single: int,
        three: tuple[int, int],
        double: tuple[int, int],
        pooled: int,
    ) -> int:
        """Add a block's layers; how many channels it makes."""
        stride = 1 if pooled else 2
        if single:
            self._add(f"{name}_1x1", inputs, single)
        self._add(f"{name}_3x3_reduce", inputs, three[0])
        self._add(f"{name}_3x3", *three, side=3, stride=stride)
        self._add(f"{name}_double_3x3_reduce", inputs, double[0])
        self._add(f"{name}_double_3x3_1", *double, side=3)
        self._add(f"{name}_double_3x3_2", double[1], double[1], side=3, stride=stride)
        if pooled:
            self._add(f"{name}_pool_proj", inputs, pooled)
        return single + three[1] + double[1] + (pooled or inputs)

    def _run(self, names: Sequence[str], maps: Tensor) -> Tensor:
        for name in names:
            maps = F.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(maps)), inplace=True)
        return maps

    def _run_block(self, block: str, maps: Tensor) -> Tensor:
        name = f"inception_{block}"
        branches = [
            self._run([f"{name}_3x3_reduce", f"{name}_3x3"], maps),
            self._run([f"{name}_double_3x3_{part}" for part in ("reduce", "1", "2")], maps),
        ]
        if BLOCKS[block][0] == 0:
            return torch.cat([*branches, _halved(maps)], dim=1)
        pool = F.max_pool2d if block == _LARGEST else F.avg_pool2d
        near = pool(maps, kernel_size=3, stride=1, padding=1)
        branches = [self._run([f"{name}_1x1"], maps), *branches, self._run([f"{name}_pool_proj"], near)]
        return torch.cat(branches, dim=1)


def _halved(maps: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows channel h w"]:
    """The largest of 3 x 3, every other one, rounded up."""
    return F.max_pool2d(maps, kernel_size=3, stride=2, ceil_mode=True)
