"""The paired class bootstrap: would the difference stand with other test classes?"""

from __future__ import annotations

import functools
import math
import random
from array import array
from collections.abc import Sequence

from dmlbench.errors import ResultsError
from dmlbench.results.classes import ClassSums
from dmlbench.results.statistics import LEVEL

RESAMPLES = 2_000


def class_interval(pairs: Sequence[tuple[ClassSums, ClassSums]], metric: str) -> tuple[float, float]:
    """95 % percentile interval of mean(A) - mean(B) over resampled classes.

    `pairs` holds A's and B's sums, a pair a seed. Each resample draws as many classes as there are, with
    repetition, the same for both methods and all seeds; sums are averaged over the seeds first. The draws
    come from a fixed seed and depend on the number of classes alone. Classes without queries are left out.
    Raises `ResultsError` when the pairs do not cover the same queries.
    """
    first = pairs[0][0]
    for sums in (sums for pair in pairs for sums in pair):
        if (sums.classes, sums.counts) != (first.classes, first.counts):
            raise ResultsError(
                "the per-class sums are of different queries, so they cannot be paired",
                way_out="score all runs on the same data with the same protocol",
            )
    counted = [index for index, count in enumerate(first.counts) if count]
    if not counted:
        raise ResultsError("the per-class sums hold no query")
    counts = [first.counts[index] for index in counted]
    gains = [
        math.fsum(a.sums[metric][index] - b.sums[metric][index] for a, b in pairs) / len(pairs)
        for index in counted
    ]
    found = sorted(
        math.fsum(map(gains.__getitem__, drawn)) / sum(map(counts.__getitem__, drawn))
        for drawn in _draws(len(counts))
    )
    return _quantile(found, LEVEL / 2), _quantile(found, 1 - LEVEL / 2)


@functools.lru_cache(maxsize=1)
def _draws(classes: int) -> tuple[array[int], ...]:
    """`RESAMPLES` draws of `classes` class indices; kept, for all methods of a table share them."""
    # `random()` alone promises the same stream in every Python.
    draw = random.Random(0).random
    kind = "H" if classes <= 1 << 16 else "L"
    return tuple(array(kind, [int(draw() * classes) for _ in range(classes)]) for _ in range(RESAMPLES))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between neighbours, as `numpy.quantile` does by default."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
