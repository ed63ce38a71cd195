"""Backbones of the package timm (PyTorch Image Models), which is imported when one is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.api import DataError, MissingPackageError, ParamGroup
from dmlbench_plugins.backbones.renormalise import Renormalise
from dmlbench_plugins.backbones.weights import read_state


class TimmBackbone(nn.Module):
    """One of timm's networks without its classifier. Nothing is downloaded.

    `weights`: a file with the tensors of this network as timm names them, and `sha256` its digest; without
    it the network starts at random. Weights expect a track with mean and std of 0.5. Grey images count as
    three equal channels. `rate_factor` multiplies the track's rate.
    """

    name: ClassVar[str]
    """What timm calls it."""
    fits_size: ClassVar[bool] = False
    """Whether it is built for one image size."""

    def __init__(
        self, image_size: int, *, weights: str = "", sha256: str = "", rate_factor: float = 1.0
    ) -> None:
        super().__init__()
        self.rate_factor = rate_factor
        options: dict[str, Any] = {"img_size": image_size} if self.fits_size else {}
        if weights:
            state = read_state(Path(weights), sha256)
            options |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}
        self.network = self._created(weights, options)
        self.feature_dim = int(self.network.head_hidden_size)
        self.prepare: nn.Module = nn.Identity()
        if weights:
            trained_on = self.network.pretrained_cfg
            self.prepare = Renormalise(tuple(trained_on["mean"]), tuple(trained_on["std"]))

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows feature"]:
        return self.network(self.prepare(images.expand(-1, 3, -1, -1)))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.parameters(), rate_factor=self.rate_factor)]

    def _created(self, weights: str, options: dict[str, Any]) -> nn.Module:
        create_model = _create_model()
        try:
            network = create_model(self.name, num_classes=0, **options)
        except (RuntimeError, KeyError) as error:
            if not weights:
                raise
            raise DataError(
                f"these are not the weights of timm's {self.name}: {' '.join(str(error).split())[:300]}",
                place=weights,
            ) from error
        network.pretrained_cfg.pop("state_dict", None)  # the network has them now
        return network


def _create_model() -> Any:
    """timm's `create_model`. `MissingPackageError` when timm is not there or cannot be imported."""
    try:
        from timm import create_model
    except ImportError as error:
        raise MissingPackageError(
            f"timm cannot be imported: {error}", way_out='pip install "dmlbench[timm]"'
        ) from error
    except RuntimeError as error:  # what a torchvision that was built for another torch raises
        raise MissingPackageError(
            f"timm cannot be imported beside this torch: {error}",
            way_out="install the torchvision that belongs to the installed torch, from the same index",
        ) from error
    return create_model


class ResNet50(TimmBackbone):
    name = "resnet50"


class EfficientNetB0(TimmBackbone):
    name = "efficientnet_b0"


class MobileNetV3Small(TimmBackbone):
    name = "mobilenetv3_small_100"


class ConvNextTiny(TimmBackbone):
    name = "convnext_tiny"


class VitTiny(TimmBackbone):
    name, fits_size = "vit_tiny_patch16_224", True


class VitSmall(TimmBackbone):
    name, fits_size = "vit_small_patch16_224", True


class DeitSmall(TimmBackbone):
    name, fits_size = "deit_small_patch16_224", True


class DinoVitSmall(TimmBackbone):
    name, fits_size = "vit_small_patch16_224.dino", True
