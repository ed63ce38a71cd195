"""Ranking metrics: pure functions of where a query's positives stand, one value per query.

All but a few divide by R, the number of positives in the gallery; a query with R = 0 is not asked. Sums run
from left to right, so that no value depends on the padding. A new metric is one function and one line in
`METRICS`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from dmlbench.score.places import Places, Values, total


def recall_at_k(places: Places, k: int) -> Values:
    """1 where a positive stands among the first k: the field's Recall@K, not the share of positives found.

    >>> recall_at_k(Ranks(torch.tensor([[2, 3]]), torch.tensor([2])), k=1)
    tensor([0.], dtype=torch.float64)
    """
    return places.hit(k)


def precision_at_k(places: Places, k: int) -> Values:
    """Positives among the first k, over k, also when the gallery holds fewer than k items.

    >>> precision_at_k(Ranks(torch.tensor([[2, 3]]), torch.tensor([2])), k=4)
    tensor([0.5000], dtype=torch.float64)
    """
    return total(places.inside(k)) / k


def r_precision(places: Places) -> Values:
    """Positives among the first R, over R.

    >>> r_precision(Ranks(torch.tensor([[2, 3]]), torch.tensor([2])))
    tensor([0.5000], dtype=torch.float64)
    """
    return total(places.inside(places.relevant)) / places.relevant


def map_at_r(places: Places) -> Values:
    """Mean average precision at R: precisions at the positives among the first R, summed, over R.

    Musgrave, Belongie and Lim, "A metric learning reality check", 2020.

    >>> map_at_r(Ranks(torch.tensor([[1, 3]]), torch.tensor([2])))
    tensor([0.5000], dtype=torch.float64)
    """
    return total(places.precision(places.relevant)) / places.relevant


def average_precision(places: Places) -> Values:
    """Precisions at all positives, over R; the mean over queries is `map`.

    >>> average_precision(Ranks(torch.tensor([[1, 4]]), torch.tensor([2])))
    tensor([0.7500], dtype=torch.float64)
    """
    return total(places.precision()) / places.relevant


def map_at_k(places: Places, k: int) -> Values:
    """Precisions at the positives among the first k, over R.

    >>> map_at_k(Ranks(torch.tensor([[1, 4]]), torch.tensor([2])), k=1)
    tensor([0.5000], dtype=torch.float64)
    """
    return total(places.precision(k)) / places.relevant


def map_min_at_k(places: Places, k: int) -> Values:
    """As `map_at_k`, over min(R, k): a query whose first k are all positives scores 1.

    >>> map_min_at_k(Ranks(torch.tensor([[1, 4]]), torch.tensor([2])), k=1)
    tensor([1.], dtype=torch.float64)
    """
    return total(places.precision(k)) / places.relevant.clamp(max=k)


def map_hits_at_k(places: Places, k: int) -> Values:
    """As `map_at_k`, over the positives found among the first k; 0 if there are none.

    >>> map_hits_at_k(Ranks(torch.tensor([[2, 4]]), torch.tensor([2])), k=3)
    tensor([0.5000], dtype=torch.float64)
    """
    ranks = places.exact("map_hits_at_K")
    return total(ranks.precision(k)) / total(ranks.inside(k)).clamp(min=1)


def map_voc(places: Places) -> Values:
    """Average precision with precision made monotone: at each positive the best precision from there on.

    >>> map_voc(Ranks(torch.tensor([[2, 3]]), torch.tensor([2])))
    tensor([0.6667], dtype=torch.float64)
    """
    precision = places.exact("map_voc").precision()
    return total(_best_from_here(precision)) / places.relevant


def map_voc_at_k(places: Places, k: int) -> Values:
    """As `map_voc` on the first k, over min(R, k): the form that sketch retrieval prints as mAP@200.

    >>> map_voc_at_k(Ranks(torch.tensor([[2, 3]]), torch.tensor([2])), k=2)
    tensor([0.2500], dtype=torch.float64)
    """
    precision = places.exact("map_voc_at_K").precision(k)
    return total(_best_from_here(precision)) / places.relevant.clamp(max=k)


def ndcg_at_k(places: Places, k: int) -> Values:
    """Discounted cumulative gain of the first k over that of a perfect ranking; a positive gains 1.

    DCG = sum of 1 / log2(rank + 1). The perfect ranking has its min(R, k) positives first.

    >>> ndcg_at_k(Ranks(torch.tensor([[1, 3]]), torch.tensor([2])), k=2)
    tensor([0.6131], dtype=torch.float64)
    """
    gains = places.discount(k)
    first = torch.arange(1, gains.shape[1] + 1, device=gains.device)
    ideal = (first <= places.relevant[:, None]) & (first <= k)
    return total(gains) / total(torch.where(ideal, 1 / (first + 1).double().log2(), 0.0))


def reciprocal_rank(places: Places) -> Values:
    """1 over the rank of the first positive; the mean over queries is `mrr`.

    >>> reciprocal_rank(Ranks(torch.tensor([[2, 3]]), torch.tensor([2])))
    tensor([0.5000], dtype=torch.float64)
    """
    return places.reciprocal()


def _best_from_here(precision: Float[Tensor, "query positive"]) -> Float[Tensor, "query positive"]:
    # A positive that is cut off has precision 0 and stands behind all that count.
    best = precision.flip(1).cummax(dim=1).values.flip(1)
    return best * (precision > 0)
