"""The built-in losses and regularisers, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import LossPlugin


def offered() -> Iterator[LossPlugin]:
    yield LossPlugin(
        id="contrastive",
        target=f"{__name__}.contrastive:contrastive",
        summary="Pulls pairs of one class together, pushes others apart up to a margin.",
        reference="Hadsell, Chopra, LeCun, CVPR 2006",
    )
    yield LossPlugin(
        id="triplet",
        target=f"{__name__}.triplet:triplet",
        summary="Hinge on squared distances of mined triplets.",
        reference="Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
    )
    yield LossPlugin(
        id="multi-similarity",
        target=f"{__name__}.multi_similarity:multi_similarity",
        summary="Soft weights from self, positive and negative relative similarity, with pair mining.",
        reference="Wang et al., CVPR 2019, arXiv 1904.06627",
        expected_failures={
            "values/nan-shown": "its mining keeps no pair whose similarity is NaN, so none is left to show it"
        },
    )
    yield LossPlugin(
        id="normalised-softmax",
        target=f"{__name__}.normalised_softmax:NormalisedSoftmax",
        summary="Cross-entropy over cosines to one weight vector a class.",
        reference="Zhai, Wu, BMVC 2019, arXiv 1811.12649",
    )
    yield LossPlugin(
        id="proxy-nca",
        target=f"{__name__}.proxy_nca:ProxyNca",
        summary="Neighbourhood component analysis against one learned proxy a class.",
        reference="Movshovitz-Attias et al., ICCV 2017, arXiv 1703.07464",
    )
    yield LossPlugin(
        id="proxy-anchor",
        target=f"{__name__}.proxy_anchor:ProxyAnchor",
        summary="One proxy a class is the anchor that all rows of the batch are compared with.",
        reference="Kim et al., CVPR 2020, arXiv 2003.13911",
    )
    yield LossPlugin(
        id="multi-proxy-anchor",
        target=f"{__name__}.multi_proxy_anchor:MultiProxyAnchor",
        summary="Proxy-Anchor with several proxies a class.",
        reference="Saeki et al., 2021, arXiv 2110.03997",
    )
    yield LossPlugin(
        id="soft-triple",
        target=f"{__name__}.soft_triple:SoftTriple",
        summary="Normalised softmax with several centres a class, which are drawn together.",
        reference="Qian et al., ICCV 2019, arXiv 1909.05235",
    )
    yield LossPlugin(
        id="cosface",
        target=f"{__name__}.cosface:CosFace",
        summary="Normalised softmax with a margin between cosines.",
        reference="Wang et al., CVPR 2018, arXiv 1801.09414",
    )
    yield LossPlugin(
        id="arcface",
        target=f"{__name__}.arcface:ArcFace",
        summary="Normalised softmax with a margin between angles.",
        reference="Deng et al., CVPR 2019, arXiv 1801.07698",
    )
    yield LossPlugin(
        id="n-pair",
        target=f"{__name__}.n_pair:n_pair",
        summary="An anchor of each class against the positives of all classes, by inner products.",
        reference="Sohn, NIPS 2016",
    )
    yield LossPlugin(
        id="norm-penalty",
        target=f"{__name__}.norm_penalty:norm_penalty",
        role="regulariser",
        summary="Mean squared length of the raw embeddings.",
        reference="Sohn, NIPS 2016",
    )
    yield LossPlugin(
        id="center",
        target=f"{__name__}.center:Center",
        role="regulariser",
        summary="Squared distance to class centres that have an objective of their own.",
        reference="Wen et al., ECCV 2016",
    )
    yield LossPlugin(
        id="triplet-euclidean",
        target=f"{__name__}.triplet_euclidean:triplet_euclidean",
        summary="Hinge on distances of mined triplets, without the squares.",
        reference="Sumbul, Ravanbakhsh, Demir, TGRS 2022, arXiv 2105.03647",
    )
    yield LossPlugin(
        id="all-triplets",
        target=f"{__name__}.all_triplets:all_triplets",
        summary="Hinge on distances of every triplet of the batch, by sorting.",
    )
    yield LossPlugin(
        id="multi-label-contrastive",
        target=f"{__name__}.multi_label_contrastive:multi_label_contrastive",
        summary="Supervised contrastive loss in which each label of a picture is an anchor.",
        reference="Zhang, Wu, AAAI 2024",
    )
