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
    yield AugmenterPlugin(
        id="das-raw",
        target=f"{__name__}.das:DasRaw",
        at="raw",
        summary="The same for losses of raw embeddings: the copies are not normalised.",
        reference="Liu et al., ECCV 2022, arXiv 2208.00119",
    )
    yield AugmenterPlugin(
        id="iaa",
        target=f"{__name__}.iaa:Iaa",
        at="raw",
        summary="Noisy copies with the variances of their class, which classes of few images share.",
        reference="Fu et al., TMM 2022, arXiv 2211.16264",
    )
    yield AugmenterPlugin(
        id="iaa-released",
        target=f"{__name__}.iaa_released:IaaReleased",
        at="raw",
        summary="Noisy copies with the variances of their class, as the authors' code has it.",
        reference="Fu et al., TMM 2022, arXiv 2211.16264",
    )
    yield AugmenterPlugin(
        id="two-stage-generation",
        target=f"{__name__}.two_stage_generation:TwoStageGeneration",
        at="raw",
        summary="Each triplet again, of generated features: its pair apart, its order violated.",
        reference="Zhu et al., 2021, arXiv 2112.02259",
    )
