"""Means, intervals and tests over seeds, in exact or stated arithmetic and without NumPy.

Values are a metric's values, one a seed; differences are paired by seed.
"""

from __future__ import annotations

import functools
import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

#: Two-sided level of every interval and test.
LEVEL = 0.05
#: With five seeds the smallest possible p is 2/32: no verdict could ever be reached.
MIN_SEEDS = 6
#: Nobody plans more seeds than this; beyond it the answer is "more than 100".
MAX_PLANNED_SEEDS = 100
#: All 2^n sign flips are counted up to here; beyond, as many random ones as RANDOM_FLIPS.
MAX_EXACT_SEEDS = 30
RANDOM_FLIPS = 100_000


@dataclass(frozen=True)
class Summary:
    """Mean, sample deviation (ddof = 1) and half the width of the 95 % t interval; None under two values."""

    n: int
    mean: float
    std: float | None
    half_width: float | None


def summarise(values: Sequence[float]) -> Summary:
    """Mean, deviation and t interval of at least one value.

    >>> s = summarise([60.1, 60.5, 59.8, 60.3, 60.0, 60.7, 60.2, 60.4, 59.9, 60.1])
    >>> f"{s.mean:.1f} ± {s.half_width:.4f}"
    '60.2 ± 0.1995'
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Summary(n, mean, std, t_quantile(n - 1) * std / math.sqrt(n))


@functools.lru_cache(maxsize=256)
def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The t with P(|T| <= t) = 1 - level at `freedom` >= 1 whole degrees of freedom.

    Bisects the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        angle = (low + high) / 2
        if _t_central(angle, freedom) < 1 - level:
            low = angle
        else:
            high = angle
    return math.tan(low) * math.sqrt(freedom)


def _t_central(angle: float, freedom: int) -> float:
    """P(|T| <= tan(angle) sqrt(freedom))."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the paired sign-flip test on the mean difference.

    The share of the 2^n sign patterns whose sum is at least as far from 0 as the observed one, ties counted;
    1.0 for no differences. Above `MAX_EXACT_SEEDS`, estimated from random patterns of a fixed seed.

    >>> sign_flip([0.1, 0.2, 0.1, 0.3, 0.2, 0.1]) == 2 / 64
    True
    """
    n = len(differences)
    size = math.fsum(abs(value) for value in differences)
    # A sum equal to the observed one but for rounding counts as equal.
    target = abs(math.fsum(differences)) - 1e-12 * size
    if target <= 0:
        return 1.0
    if n > MAX_EXACT_SEEDS:
        return _random_sign_flip(differences, target)
    # Each sum is one of the first half's plus one of the second half's: 2 * 2^(n/2) sums, not 2^n.
    left, right = _signed_sums(differences[: n // 2]), sorted(_signed_sums(differences[n // 2 :]))
    far = sum(len(right) - bisect_left(right, target - s) + bisect_right(right, -target - s) for s in left)
    return far / float(2**n)


def _signed_sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [s + value for s in sums] + [s - value for s in sums]
    return sums


def _random_sign_flip(differences: Sequence[float], target: float) -> float:
    draw = random.Random(0).random
    far = sum(
        abs(sum(value if draw() < 0.5 else -value for value in differences)) >= target
        for _ in range(RANDOM_FLIPS)
    )
    return (far + 1) / (RANDOM_FLIPS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def seeds_needed(differences: Sequence[float]) -> int | None:
    """The seeds, in all, that put the t interval of an unchanged mean difference clear of 0.

    More than there are, and at least `MIN_SEEDS`; None for more than `MAX_PLANNED_SEEDS`.
    """
    summary = summarise(differences)
    if summary.std is None:
        return None
    for n in range(max(MIN_SEEDS, summary.n + 1), MAX_PLANNED_SEEDS + 1):
        if t_quantile(n - 1) * summary.std / math.sqrt(n) < abs(summary.mean):
            return n
    return None
