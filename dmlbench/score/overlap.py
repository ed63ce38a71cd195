"""Multi-label metrics: query and item share labels, more of them or fewer, and a gain says how many.

Each is a mean over the first K retrieved items, then over queries; an item that shares no
label gains 0. Names with `label_` compare the two label sets of query and item.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.score.places import Places, Values, total


@dataclass(frozen=True)
class Overlap:
    """Label sets of each query a and its positives b, in the order of `Places`."""

    shared: Float[Tensor, "query positive"]
    """|a and b|, in float64; 0 in the padding."""
    own: Int[Tensor, " query"]
    """|a|"""
    other: Int[Tensor, "query positive"]
    """|b|"""


def acg_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """Average cumulative gain: the mean number of shared labels among the first k."""
    return _mean_inside(places, overlap.shared, k)


def ndcg_graded_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """nDCG at k with the number of shared labels as the gain."""
    return _ndcg(places, overlap.shared, k)


def ndcg_graded_exp_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """nDCG at k with 2^g - 1 as the gain of g shared labels."""
    # Over the largest gain's 2^g, which the ratio does not see: 2^1024 is no float.
    most = overlap.shared.amax(dim=1, keepdim=True)
    return _ndcg(places, (overlap.shared - most).exp2() - (-most).exp2(), k)


def wmap_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """Weighted mean average precision: ACG at the positives among the first k, averaged; 0 if none."""
    ranks = places.exact("wmap_at_K")
    hits = ranks.inside(k)
    gain = overlap.shared.cumsum(dim=1) / ranks.ranks.double()
    return total(gain * hits) / total(hits).clamp(min=1)


def label_accuracy_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """Mean of |a and b| / |a or b|."""
    either = overlap.own[:, None] + overlap.other - overlap.shared
    return _mean_inside(places, overlap.shared / either.clamp(min=1), k)


def label_precision_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """Mean of |a and b| / |b|, b the retrieved item's labels."""
    return _mean_inside(places, overlap.shared / overlap.other.clamp(min=1), k)


def label_recall_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """Mean of |a and b| / |a|, a the query's labels."""
    return _mean_inside(places, overlap.shared / overlap.own[:, None].clamp(min=1), k)


def label_f1_at_k(places: Places, overlap: Overlap, k: int) -> Values:
    """Mean of 2 |a and b| / (|a| + |b|): the mean of the pairs' F1, not the F1 of the two means."""
    return _mean_inside(places, 2 * overlap.shared / (overlap.own[:, None] + overlap.other).clamp(min=1), k)


def _mean_inside(places: Places, gains: Float[Tensor, "query positive"], k: int) -> Values:
    return total(gains * places.inside(k)) / k


def _ndcg(places: Places, gains: Float[Tensor, "query positive"], k: int) -> Values:
    best = gains.sort(dim=1, descending=True).values[:, :k]
    discount = 1 / torch.arange(2, best.shape[1] + 2, device=best.device, dtype=torch.float64).log2()
    return total(gains * places.discount(k)) / total(best * discount)
