"""The built-in recipes: one file each."""

from collections.abc import Iterator

from dmlbench.api import MethodPlugin

_NAMES = (
    "untrained",
    "raw-pixels",
    "normalised-softmax",
    "contrastive",
    "triplet-semihard",
    "multi-similarity",
    "proxy-nca",
    "proxy-anchor",
    "hier",
    "proxy-anchor-hier",
    "multi-similarity-hier",
    "das",
    "triplet-das",
    "lifted-structure-das",
    "two-stage-generation",
    "iaa",
    "iaa-released",
    "triplet-iaa",
    "softmax-center",
    "proxy-nca-pp",
    "n-pair",
    "n-pair-ovo",
    "n-pair-hard-classes",
    "cosface",
    "cosface-paper",
    "arcface",
    "arcface-paper",
    "soft-triple",
    "soft-triple-paper",
    "proxy-anchor-paper",
    "multi-proxy-anchor",
    "contrastive-memory",
    "binomial-deviance",
    "triplet-batch-hard",
    "triplet-easy-positive",
    "lifted-structure",
    "lifted-structure-generalised",
    "margin-distance-weighted",
    "multi-similarity-paper",
    "cbml",
    "circle",
    "supcon",
    "nt-xent",
    "bspml",
    "prism",
    "generalised-cross-entropy",
    "multi-label-triplets",
    "multi-label-random-triplets",
    "multi-label-all-triplets",
    "multi-label-contrastive",
    "alternating-projections",
    "alternating-projections-hard-classes",
    "alternating-projections-reference",
    "loss-ensemble",
    "loss-ensemble-shared",
    "loss-ensemble-compressed",
)


def offered() -> Iterator[MethodPlugin]:
    for name in _NAMES:
        yield MethodPlugin(id=name, target=f"{__name__}:{name.replace('-', '_')}")
