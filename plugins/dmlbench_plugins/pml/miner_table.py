"""The miners of pytorch-metric-learning 2.9.0, as data: known without importing it, or torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class PmlMiner:
    """`yields` follows from the number of index vectors that its class returns: 4 are pairs, 3 triplets."""

    summary: str
    reference: str
    yields: Literal["pairs", "triplets"]
    fails: Mapping[str, str] = field(default_factory=dict)
    """Checks of the conformance kit that PML fails, each with its reason."""


_CUBE = {"growth/elements": "it makes rows x rows x rows"}

MINERS = {
    "AngularMiner": PmlMiner(
        "Triplets whose angle is above a threshold.",
        "Wang et al., ICCV 2017, arXiv 1708.01682",
        "triplets",
        fails=_CUBE,
    ),
    "BatchEasyHardMiner": PmlMiner(
        "For each anchor one positive and one negative, each easy, semi-hard or hard, or all.",
        "Xuan et al., WACV 2020, arXiv 1904.04370",
        "pairs",
    ),
    "BatchHardMiner": PmlMiner(
        "For each anchor its farthest positive and nearest negative.",
        "Hermans, Beyer, Leibe, arXiv 1703.07737",
        "triplets",
    ),
    "DistanceWeightedMiner": PmlMiner(
        "Negatives drawn evenly over distances.",
        "Wu et al., ICCV 2017, arXiv 1706.07567",
        "triplets",
        fails={"miner/no-duplicates": "it draws with replacement"},
    ),
    "HDCMiner": PmlMiner(
        "The hardest share of all positive and of all negative pairs.",
        "Yuan et al., ICCV 2017, arXiv 1611.05720",
        "pairs",
    ),
    "MultiSimilarityMiner": PmlMiner(
        "Negatives above the least positive, positives below the largest negative.",
        "Wang et al., CVPR 2019, arXiv 1904.06627",
        "pairs",
    ),
    "PairMarginMiner": PmlMiner("Positives beyond, negatives within a distance.", "", "pairs"),
    "TripletMarginMiner": PmlMiner(
        "Triplets that violate a margin; all, hard, semi-hard or easy ones.",
        "Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
        "triplets",
        fails=_CUBE,
    ),
    "UniformHistogramMiner": PmlMiner(
        "Equally many pairs from each bin of distances.",
        "",
        "pairs",
        fails={"miner/no-duplicates": "it draws with replacement"},
    ),
}
