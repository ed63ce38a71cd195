"""The entry point `timm`: some backbones of PyTorch Image Models, offered as `timm:ID`."""

from __future__ import annotations

from collections.abc import Iterator

from dmlbench.api import BackbonePlugin, hookimpl

DMLBENCH_API = 1

#: id, class, summary, paper
_OFFERED = (
    ("resnet50", "ResNet50", "ResNet-50.", "He et al., CVPR 2016, arXiv 1512.03385"),
    ("efficientnet-b0", "EfficientNetB0", "EfficientNet-B0.", "Tan, Le, ICML 2019, arXiv 1905.11946"),
    (
        "mobilenetv3-small-100",
        "MobileNetV3Small",
        "MobileNetV3-Small.",
        "Howard et al., ICCV 2019, arXiv 1905.02244",
    ),
    ("convnext-tiny", "ConvNextTiny", "ConvNeXt-T.", "Liu et al., CVPR 2022, arXiv 2201.03545"),
    (
        "vit-tiny-patch16-224",
        "VitTiny",
        "ViT-Ti, 16-pixel patches, at the track's image size.",
        "Steiner et al., TMLR 2022, arXiv 2106.10270",
    ),
    (
        "vit-small-patch16-224",
        "VitSmall",
        "ViT-S, 16-pixel patches, at the track's image size.",
        "Steiner et al., TMLR 2022, arXiv 2106.10270",
    ),
    (
        "deit-small-patch16-224",
        "DeitSmall",
        "DeiT-S, 16-pixel patches, at the track's image size.",
        "Touvron et al., ICML 2021, arXiv 2012.12877",
    ),
    (
        "vit-small-patch16-224-dino",
        "DinoVitSmall",
        "DINO's ViT-S, 16-pixel patches, at the track's image size.",
        "Caron et al., ICCV 2021, arXiv 2104.14294",
    ),
)


@hookimpl
def dmlbench_backbones() -> Iterator[BackbonePlugin]:
    for name, target, summary, reference in _OFFERED:
        yield BackbonePlugin(
            id=name,
            target=f"dmlbench_plugins.backbones.timm:{target}",
            extra="timm",
            imports=("timm",),
            summary=f"{summary} From scratch, or from a file of weights.",
            reference=reference,
        )
