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
