"""The built-in augmenters, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import AugmenterPlugin


def offered() -> Iterator[AugmenterPlugin]:
    yield AugmenterPlugin(
        id="das",
        target=f"{__name__}.das:Das",
        at="unit",
        summary="Fills the space around each embedding by scaled and shifted copies.",
        reference="Liu et al., ECCV 2022, arXiv 2208.00119",
    )
