"""The class bootstrap on cases with known answers."""

import random

import numpy as np
import pytest

from dmlbench.errors import ResultsError
from dmlbench.results.bootstrap import RESAMPLES, class_interval
from dmlbench.results.classes import ClassSums


def sums_of(values, counts, names="abcdefgh"):
    return ClassSums(classes=tuple(names[: len(counts)]), counts=tuple(counts), sums={"m": tuple(values)})


def test_equal_gains_in_every_class_leave_no_doubt(sums):
    low, high = class_interval([(sums(0.52, 0.2), sums(0.5, 0.2))] * 3, "map_at_r")
    assert low == pytest.approx(0.02, abs=1e-12)
    assert high == pytest.approx(0.02, abs=1e-12)


def test_two_classes_give_both_extremes():
    """Of two classes a quarter of the resamples is the first twice, a quarter the second twice."""
    pair = (sums_of([3.0, 0.0], [10, 10]), sums_of([0.0, 1.0], [10, 10]))
    assert class_interval([pair], "m") == (-0.1, 0.3)


def test_classes_weigh_by_their_queries():
    """All of one class, or all of the other, or both: 1/1, 0/9 or 1/10."""
    pair = (sums_of([1.0, 0.0], [1, 9]), sums_of([0.0, 0.0], [1, 9]))
    assert class_interval([pair], "m") == (0.0, 1.0)


def test_numpy_finds_the_same_interval():
    source = np.random.default_rng(7)
    counts = source.integers(1, 9, size=30)
    seeds = [(source.random(30) * counts, source.random(30) * counts) for _ in range(4)]
    names = tuple(f"c{index}" for index in range(30))
    pairs = [tuple(sums_of(side, counts.tolist(), names) for side in pair) for pair in seeds]
    stream = random.Random(0)
    drawn = np.array([[int(stream.random() * 30) for _ in range(30)] for _ in range(RESAMPLES)])
    gain = np.mean([a - b for a, b in seeds], axis=0)
    expected = np.quantile(gain[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    assert class_interval(pairs, "m") == pytest.approx(tuple(expected), abs=1e-12)


def test_classes_without_queries_do_not_count():
    with_empty = (sums_of([3.0, 0.0, 0.0], [10, 0, 10]), sums_of([0.0, 0.0, 1.0], [10, 0, 10]))
    assert class_interval([with_empty], "m") == (-0.1, 0.3)


def test_the_interval_mirrors_when_the_methods_change_sides(sums):
    a, b = sums(0.52, 0.3), sums(0.5, 0.1)
    low, high = class_interval([(a, b)], "map_at_r")
    other = class_interval([(b, a)], "map_at_r")
    assert other == pytest.approx((-high, -low), abs=1e-12)


def test_sums_over_other_queries_cannot_be_paired(sums):
    with pytest.raises(ResultsError, match="different queries"):
        class_interval([(sums(0.5), sums(0.5, queries=11))], "map_at_r")
    with pytest.raises(ResultsError, match="no query"):
        class_interval([(sums_of([0.0], [0]), sums_of([0.0], [0]))], "m")
