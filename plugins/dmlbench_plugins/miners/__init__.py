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
