"""Residual networks (He, Zhang, Ren, Sun 2016), the parameters named as in torchvision's files of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.api import ParamGroup
from dmlbench_plugins.backbones.renormalise import Renormalise
from dmlbench_plugins.backbones.weights import load_by_name, read_state

Stem = Literal["large", "small"]

#: What published weights were trained on: ImageNet's means and deviations of red, green and blue.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNet(nn.Module):
    """Images to the channel means before the classifier. Grey images count as three equal channels.

    The stem `large` reduces images to a quarter of their side before the first stage; `small`, one 3 x 3
    convolution, is for images of about 32 pixels. `width` is that of the first stage.

    `weights`: a torch file with the tensors of torchvision's network of the same depth, and `sha256` its
    digest. They expect a track with mean and std of 0.5. `rate_factor` multiplies the track's rate.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, int, int, int],
        *,
        stem: Stem,
        width: int,
        weights: str,
        sha256: str,
        rate_factor: float,
    ) -> None:
        super().__init__()
        self.rate_factor = rate_factor
        self.feature_dim = 8 * width * block.expansion
        self.prepare: nn.Module = nn.Identity()
        if stem == "large":
            self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        else:
            self.conv1 = _three(3, width)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(block, width, width, blocks[0], stride=1)
        self.layer2 = _stage(block, width * block.expansion, 2 * width, blocks[1], stride=2)
        self.layer3 = _stage(block, 2 * width * block.expansion, 4 * width, blocks[2], stride=2)
        self.layer4 = _stage(block, 4 * width * block.expansion, 8 * width, blocks[3], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if weights:
            load_by_name(self, read_state(Path(weights), sha256), Path(weights), without=("fc.",))
            self.prepare = Renormalise(MEAN, STD)

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows feature"]:
        images = self.prepare(images.expand(-1, 3, -1, -1))
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return maps.mean(dim=(2, 3))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.parameters(), rate_factor=self.rate_factor)]


class ResNet18(ResNet):
    """Two basic blocks a stage; 11.2 million weights at the usual width."""

    def __init__(
        self,
        *,
        stem: Stem = "large",
        width: int = 64,
        weights: str = "",
        sha256: str = "",
        rate_factor: float = 1.0,
    ) -> None:
        super().__init__(
            BasicBlock,
            (2, 2, 2, 2),
            stem=stem,
            width=width,
            weights=weights,
            sha256=sha256,
            rate_factor=rate_factor,
        )


class ResNet50(ResNet):
    """3, 4, 6 and 3 bottleneck blocks; 23.5 million weights at the usual width."""

    def __init__(
        self,
        *,
        stem: Stem = "large",
        width: int = 64,
        weights: str = "",
        sha256: str = "",
        rate_factor: float = 1.0,
    ) -> None:
        super().__init__(
            Bottleneck,
            (3, 4, 6, 3),
            stem=stem,
            width=width,
            weights=weights,
            sha256=sha256,
            rate_factor=rate_factor,
        )


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _three(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _three(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, maps: Float[Tensor, "rows inputs height width"]) -> Float[Tensor, "rows outputs h w"]:
        out = self.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(maps))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut; the 3 x 3 one has the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _three(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, maps: Float[Tensor, "rows inputs height width"]) -> Float[Tensor, "rows outputs h w"]:
        out = self.relu(self.bn1(self.conv1(maps)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + self.downsample(maps))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, blocks: int, *, stride: int
) -> nn.Sequential:
    first = block(inputs, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(blocks - 1)))


def _three(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The maps as they are, or projected to the block's shape."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    projection = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(outputs))
