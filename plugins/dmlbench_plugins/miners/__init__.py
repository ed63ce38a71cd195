"""The built-in miners, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import MinerPlugin


def offered() -> Iterator[MinerPlugin]:
    yield MinerPlugin(
        id="semihard",
        target=f"{__name__}.semihard:semihard",
        yields="triplets",
        summary="For each positive pair the nearest negative beyond it, inside the margin.",
        reference="Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
    )
    yield MinerPlugin(
        id="batch-hard",
        target=f"{__name__}.batch_hard:batch_hard",
        yields="triplets",
        summary="Each anchor's farthest positive with its nearest negative.",
        reference="Hermans, Beyer, Leibe 2017, arXiv 1703.07737",
    )
    yield MinerPlugin(
        id="easy-positive",
        target=f"{__name__}.easy_positive:easy_positive",
        yields="triplets",
        summary="Each anchor's nearest positive with its nearest negative, or the nearest beyond it.",
        reference="Xuan, Stylianou, Pless, WACV 2020, arXiv 1904.04370",
    )
    yield MinerPlugin(
        id="distance-weighted",
        target=f"{__name__}.distance_weighted:distance_weighted",
        yields="triplets",
        summary="Each positive pair with a negative drawn evenly over distances.",
        reference="Wu et al., ICCV 2017, arXiv 1706.07567",
    )
    yield MinerPlugin(
        id="multi-similarity",
        target=f"{__name__}.multi_similarity:multi_similarity",
        yields="pairs",
        summary="Negatives above the least similar positive, positives below the most similar negative.",
        reference="Wang et al., CVPR 2019, arXiv 1904.06627",
    )
    yield MinerPlugin(
        id="multi-label-triplets",
        target=f"{__name__}.multi_label_triplets:MultiLabelTriplets",
        yields="triplets",
        summary="Diverse anchors, and for each a few partners that are relevant, hard and diverse.",
        reference="Sumbul, Ravanbakhsh, Demir, TGRS 2022, arXiv 2105.03647",
    )
    yield MinerPlugin(
        id="random-triplets",
        target=f"{__name__}.random_triplets:random_triplets",
        yields="triplets",
        summary="Random positives and negatives of each anchor.",
    )
    yield MinerPlugin(
        id="generated-triplets",
        target=f"{__name__}.generated_triplets:generated_triplets",
        yields="triplets",
        summary="Rows that were generated as triplets, by their places.",
    )
    yield MinerPlugin(
        id="prism",
        target=f"{__name__}.prism:Prism",
        yields="pairs",
        summary="All pairs of rows that fit what is remembered of their class.",
        reference="Liu et al., CVPR 2021, arXiv 2103.16047",
        oracle=("noise_rate",),
    )
