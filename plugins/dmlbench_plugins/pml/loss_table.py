"""The losses of pytorch-metric-learning 2.9.0, as data: known without importing it, or torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class PmlLoss:
    """`reads` says what its adapter asks core for.

    pairs: anchors, refs, positives, negatives, so that all flags of a term work, also `refs`
    rows: embeddings and labels; a miner's choice becomes weights, pairs or triplets, as PML does it
    labels: embeddings and labels; PML refuses a miner's choice
    embeddings: nothing else
    """

    summary: str
    reference: str
    reads: Literal["pairs", "rows", "labels", "embeddings"] = "rows"
    fails: Mapping[str, str] = field(default_factory=dict)
    """Checks of the conformance kit that PML fails, each with its reason."""


_CUBE = {"growth/elements": "it makes rows x rows x rows"}
_PAIRS_BY_PAIRS = {"growth/elements": "it makes positive pairs x negative pairs"}
_ARC_COSINE = "the arc cosine has no finite gradient at equal rows, and is NaN where rounding passes 1"

LOSSES = {
    "AngularLoss": PmlLoss(
        "Bounds the angle at the negative of each triplet.", "Wang et al., ICCV 2017, arXiv 1708.01682"
    ),
    "ArcFaceLoss": PmlLoss(
        "Softmax over class cosines with an additive angular margin.",
        "Deng et al., CVPR 2019, arXiv 1801.07698",
    ),
    "CircleLoss": PmlLoss(
        "Each similarity is weighted by its distance from its own optimum.",
        "Sun et al., CVPR 2020, arXiv 2002.10857",
        "pairs",
        fails={"gradient/correct": "PML detaches its weights"},
    ),
    "ContrastiveLoss": PmlLoss(
        "Hinges on the distances of positive and negative pairs.",
        "Hadsell, Chopra, LeCun, CVPR 2006",
        "pairs",
    ),
    "CosFaceLoss": PmlLoss(
        "Softmax over class cosines with an additive cosine margin.",
        "Wang et al., CVPR 2018, arXiv 1801.09414",
    ),
    "DynamicSoftMarginLoss": PmlLoss(
        "Triplets weighted by the running distribution of their margins.",
        "Zhang, Rusinkiewicz, ICCV 2019",
        fails={"values/nan-shown": "NaN has no bin, an index error", **_CUBE},
    ),
    "FastAPLoss": PmlLoss(
        "Average precision by histograms of quantised distances.",
        "Cakir et al., CVPR 2019",
    ),
    "GeneralizedLiftedStructureLoss": PmlLoss(
        "Lifted structure with all positives of an anchor.",
        "Hermans, Beyer, Leibe, arXiv 1703.07737",
        "pairs",
    ),
    "HistogramLoss": PmlLoss(
        "Overlap of the similarity histograms of positive and negative pairs.",
        "Ustinova, Lempitsky, NeurIPS 2016, arXiv 1611.00822",
        fails={
            "values/nan-shown": "NaN has no bin, an index error",
            "degenerate/duplicates": "a similarity that is rounded above 1 has no bin",
            **_CUBE,
        },
    ),
    "InstanceLoss": PmlLoss(
        "Softmax over the rows of a batch; the target is the class's rank among the batch's classes.",
        "Zheng et al., ACM TOMM 2020, arXiv 1711.05535",
        "labels",
        fails={"order/rows": "its targets are rows by number"},
    ),
    "IntraPairVarianceLoss": PmlLoss(
        "Variance of positive and of negative similarities; meant as an addition to another loss.",
        "Yu, Tao, ICCV 2019",
        "pairs",
    ),
    "LargeMarginSoftmaxLoss": PmlLoss(
        "Softmax with a multiplicative angular margin.", "Liu et al., ICML 2016, arXiv 1612.02295"
    ),
    "LiftedStructureLoss": PmlLoss(
        "Each positive pair against all negatives of its two ends.",
        "Song et al., CVPR 2016, arXiv 1511.06452",
        "pairs",
        fails=_PAIRS_BY_PAIRS,
    ),
    "ManifoldLoss": PmlLoss(
        "Random walk similarities to proxies that are dealt out at random; reads no labels.",
        "Aziere, Todorovic, CVPR 2019",
        "embeddings",
        fails={"values/finite": "a batch needs K = 50 rows"},
    ),
    "MarginLoss": PmlLoss(
        "Hinges around a boundary beta that may be learned.",
        "Wu et al., ICCV 2017, arXiv 1706.07567",
        fails=_CUBE,
    ),
    "MultiSimilarityLoss": PmlLoss(
        "Soft weights from relative similarities; PML keeps the pair mining in its miner.",
        "Wang et al., CVPR 2019, arXiv 1904.06627",
        "pairs",
    ),
    "NCALoss": PmlLoss(
        "Neighbourhood component analysis inside the batch.",
        "Goldberger et al., NeurIPS 2004",
        fails={"degenerate/all-distinct": "a mean over no rows"},
    ),
    "NPairsLoss": PmlLoss(
        "One pair of each class against the others.",
        "Sohn, NeurIPS 2016",
        fails={"order/rows": "the first pair of each class counts"},
    ),
    "NTXentLoss": PmlLoss(
        "Each positive pair against the anchor's negatives, temperature-scaled cross-entropy.",
        "van den Oord et al. 2018, arXiv 1807.03748; Chen et al., ICML 2020, arXiv 2002.05709",
        "pairs",
        fails=_PAIRS_BY_PAIRS,
    ),
    "NormalizedSoftmaxLoss": PmlLoss(
        "Cross-entropy over cosines to one weight vector a class.", "Zhai, Wu, BMVC 2019, arXiv 1811.12649"
    ),
    "P2SGradLoss": PmlLoss(
        "Squared error of the class cosines, hyperparameter-free.",
        "Zhang et al., CVPR 2019, arXiv 1905.02479",
        "labels",
        fails={"gradient/correct": "its weights are put to unit length outside the gradient"},
    ),
    "PNPLoss": PmlLoss(
        "Penalises the negatives that stand before each positive.",
        "Li et al., AAAI 2022, arXiv 2102.04640",
        "labels",
        fails=_CUBE,
    ),
    "ProxyAnchorLoss": PmlLoss(
        "Class proxies as anchors of the whole batch.", "Kim et al., CVPR 2020, arXiv 2003.13911"
    ),
    "ProxyNCALoss": PmlLoss(
        "NCA against one proxy a class, in its softmax form.",
        "Movshovitz-Attias et al., ICCV 2017, arXiv 1703.07464",
    ),
    "RankedListLoss": PmlLoss(
        "Positives inside, negatives outside a sphere. Needs margin and Tn: PML has no default for them.",
        "Wang et al., CVPR 2019, arXiv 1903.03238",
        "labels",
        fails={"values/nan-shown": "no distance that is NaN is inside or outside, so none counts"},
    ),
    "SignalToNoiseRatioContrastiveLoss": PmlLoss(
        "Contrastive loss on the ratio of variances.", "Yuan et al., CVPR 2019, arXiv 1904.02616", "pairs"
    ),
    "SmoothAPLoss": PmlLoss(
        "Smoothed average precision; right only when a batch has as many classes as images a class.",
        "Brown et al., ECCV 2020, arXiv 2007.12163",
        fails={
            "order/rows": "positives are found by position",
            "gradient/correct": "it adds in float32",
            **_CUBE,
        },
    ),
    "SoftTripleLoss": PmlLoss(
        "Softmax over several centres a class.", "Qian et al., ICCV 2019, arXiv 1909.05235"
    ),
    "SphereFaceLoss": PmlLoss(
        "Softmax over class angles with a multiplicative margin.",
        "Liu et al., CVPR 2017, arXiv 1704.08063",
    ),
    "SubCenterArcFaceLoss": PmlLoss(
        "ArcFace with several centres a class, of which the nearest counts.", "Deng et al., ECCV 2020"
    ),
    "SupConLoss": PmlLoss(
        "Mean log-probability of each anchor's positives.",
        "Khosla et al., NeurIPS 2020, arXiv 2004.11362",
        "pairs",
    ),
    "ThresholdConsistentMarginLoss": PmlLoss(
        "Pulls hard pairs towards one threshold; meant as an addition to another loss.",
        "Zhang et al., ICLR 2024, arXiv 2307.04047",
    ),
    "TripletMarginLoss": PmlLoss(
        "Hinge on the distances, not squared, of all triplets.",
        "Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
        fails=_CUBE,
    ),
    "TupletMarginLoss": PmlLoss(
        "Each positive pair against the anchor's negatives, with a slack angle.",
        "Yu, Tao, ICCV 2019",
        "pairs",
        fails={"degenerate/duplicates": _ARC_COSINE, "degenerate/other-refs": _ARC_COSINE, **_PAIRS_BY_PAIRS},
    ),
}
