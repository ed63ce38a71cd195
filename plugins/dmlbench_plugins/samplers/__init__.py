"""The built-in samplers, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import SamplerPlugin


def offered() -> Iterator[SamplerPlugin]:
    yield SamplerPlugin(
        id="pk",
        target=f"{__name__}.pk:PK",
        summary="P random classes, K random images of each.",
    )
    yield SamplerPlugin(
        id="pk-domains",
        target=f"{__name__}.pk_domains:PKDomains",
        summary="P random classes, of each K random images of every domain.",
        reference="Liu, Xie, Wang, Yuille, ICCV 2019, arXiv 1904.03208",
    )
    yield SamplerPlugin(
        id="random",
        target=f"{__name__}.random:random_images",
        summary="Random images, whatever they show.",
    )
    yield SamplerPlugin(
        id="n-pair",
        target=f"{__name__}.n_pair:NPair",
        provides=("is_positive",),
        summary="Random classes, an anchor and a positive of each.",
        reference="Sohn, NIPS 2016",
    )
    yield SamplerPlugin(
        id="n-pair-hard-classes",
        target=f"{__name__}.n_pair_hard_classes:NPairHardClasses",
        provides=("is_positive",),
        summary="An anchor and a positive of classes that the network confuses.",
        reference="Sohn, NIPS 2016",
    )
    yield SamplerPlugin(
        id="super-class",
        target=f"{__name__}.super_class:SuperClass",
        summary="P classes of few superclasses, K random images of each.",
    )
    yield SamplerPlugin(
        id="hard-class",
        target=f"{__name__}.hard_class:HardClass",
        summary="P classes in groups of near neighbours, K random images of each.",
        reference="Ge et al., ECCV 2018, arXiv 1810.06951",
    )
    yield SamplerPlugin(
        id="pinned-representatives",
        target=f"{__name__}.pinned_representatives:PinnedRepresentatives",
        provides=("is_representative", "outer_step"),
        summary="P classes, K images of each, of which one stays the same for many steps.",
        reference="Can, Gurbuz, Alatan, ICIP 2021, arXiv 1907.07585",
    )
