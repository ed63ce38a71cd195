"""Which classes of pytorch-metric-learning 2.9.0 are left out, and what the others are called."""

from __future__ import annotations

import re

LEFT_OUT = {
    "BaseLossWrapper": "a base class",
    "BaseMetricLossFunction": "a base class",
    "BaseMiner": "a base class",
    "CrossBatchMemory": "wraps another loss; here the memory is the term's: refs = 'memory'",
    "EmbeddingRegularizerMixin": "a base class",
    "EmbeddingsAlreadyPackagedAsTriplets": "needs rows in the order anchor, positive, negative, "
    "which no sampler here draws",
    "GenericPairLoss": "a base class",
    "MultipleLosses": "a sum of losses; here a recipe has several terms",
    "SelfSupervisedLoss": "wraps another loss for two views of each image without labels",
    "VICRegLoss": "compares two views of each image row by row and refuses labels",
    "WeightRegularizerMixin": "a base class",
}
"""Public classes of PML's losses and miners that are not offered, each with the reason."""

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def id_of(name: str) -> str:
    """The id of a PML class: its words in lower case.

    >>> id_of("SupConLoss"), id_of("NTXentLoss"), id_of("P2SGradLoss")
    ('sup-con-loss', 'nt-xent-loss', 'p2s-grad-loss')
    """
    return _WORD.sub("-", name).lower()
