import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.errors import DataError
from dmlbench.score import spread
from dmlbench.score.distance import unit
from dmlbench.score.spread import intra_inter_ratio, spectral_decay

from . import reference


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def mean_pair_distance(rows):
    return mean(reference.cosine_distance(u, v) for i, u in enumerate(rows) for v in rows[:i])


def ratio(points, labels):
    """Plain loops over pairs."""
    classes = [
        [p for p, y in zip(points, labels, strict=True) if y == label] for label in sorted(set(labels))
    ]
    means = [[mean(axis) for axis in zip(*rows, strict=True)] for rows in classes]
    return mean(mean_pair_distance(rows) for rows in classes if len(rows) > 1) / mean_pair_distance(means)


def decay(values):
    total = sum(values)
    return sum(math.log(total / (len(values) * value)) for value in values) / len(values)


def with_spectrum(values, rows=30, seed=0):
    """A matrix with these singular values."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(size, len(values), generator=generator, dtype=torch.float64)).Q
        for size in (rows, len(values))
    )
    return left * torch.tensor(values, dtype=torch.float64) @ right.T


@pytest.mark.parametrize(("classes", "per_class", "noise"), [(3, 5, 1.2), (20, 2, 0.1), (2, 30, 8.0)])
def test_ratio_equals_the_plain_loops(clusters, classes, per_class, noise):
    points, labels = clusters(classes=classes, per_class=per_class, noise=noise, dim=6)
    points = unit(points.double())
    labels[labels == 1] = 2**24 + 1  # float32 takes it for the next one
    labels[labels == 0] = 2**24
    found = intra_inter_ratio(points, labels)
    assert found == pytest.approx(ratio(points.tolist(), labels.tolist()), abs=1e-12)


def test_a_lone_item_counts_between_classes_only(clusters):
    points, labels = clusters(classes=4, per_class=3)
    labels[5] = 99
    points = unit(points.double())
    found = intra_inter_ratio(points, labels)
    assert found == pytest.approx(ratio(points.tolist(), labels.tolist()), abs=1e-12)


@given(st.integers(0, 2**32), st.integers(2, 5))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_ratio_ignores_order_names_and_blocks(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(4)
    points = unit(torch.randn(len(labels), 5, generator=generator, dtype=torch.float64))
    order = torch.randperm(len(labels), generator=generator)
    wanted = intra_inter_ratio(points, labels)
    assert wanted >= 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spread, "_BLOCK", 3)
        found = intra_inter_ratio(points[order], 7 - labels[order])
    assert found == pytest.approx(wanted, abs=1e-12)


def test_tight_classes_give_nothing_and_never_less():
    points = unit(torch.tensor([[0.3, 0.4, 0.5], [0.9, -0.1, 0.2]])).repeat(500, 1)
    assert 0 <= intra_inter_ratio(points, torch.arange(2).repeat(500)) < 1e-12


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (torch.eye(3), [4, 4, 4], "one class"),
        (torch.eye(3), [0, 1, 2], "alone in its class"),
        (torch.ones(4, 3), [0, 0, 1, 1], "the means of all 2 classes coincide"),
        (torch.ones(4, 3) + 2e-7 * torch.eye(4, 3), [0, 0, 1, 1], "the means of all 2 classes coincide"),
    ],
)
def test_a_ratio_of_nothing_is_refused(points, labels, message):
    with pytest.raises(DataError, match=message):
        intra_inter_ratio(points, torch.tensor(labels))


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_decay_of_a_known_spectrum(skip):
    values = [9.0, 4.0, 2.5, 1.0, 1e-4]
    found = spectral_decay(with_spectrum(values), skip)
    assert found == pytest.approx(decay(values[skip:]), abs=1e-9)


def test_decay_of_few_rows_is_that_of_the_transpose():
    points = with_spectrum([3.0, 2.0, 1.0])
    assert points.shape == (30, 3)
    assert spectral_decay(points.T) == pytest.approx(decay([2, 1]), abs=1e-12)


def test_decay_ignores_scale_rotation_and_blocks(monkeypatch):
    points = with_spectrum([5.0, 3.0, 2.0, 1.0])
    turned = points.flip(0) @ torch.linalg.qr(torch.arange(16.0).view(4, 4).double().cos()).Q
    monkeypatch.setattr(spread, "_BLOCK", 3)
    for same in (points * 1e-200, points * 1e140, turned):
        assert spectral_decay(same) == pytest.approx(decay([3, 2, 1]), abs=1e-12)


def test_a_flat_spectrum_has_no_decay():
    assert spectral_decay(torch.eye(5)) == 0
    assert spectral_decay(with_spectrum([7.0, 1, 1, 1])) == pytest.approx(0, abs=1e-12)


def test_each_unused_direction_adds_to_a_finite_decay():
    found = [
        spectral_decay(with_spectrum([4.0, 2, 2, 2, 2, 2][: 6 - lost] + [0.0] * lost)) for lost in range(5)
    ]
    assert found == sorted(found)
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert found[1] == pytest.approx(decay([2, 2, 2, 2, 4 * 2**-23]), abs=1e-9)


def test_noise_of_float32_does_not_pass_for_a_used_direction():
    points = torch.cat([with_spectrum([4.0, 3, 2, 1], rows=2000)] * 2, dim=1)
    assert spectral_decay(points.float()) == pytest.approx(spectral_decay(points), abs=1e-5)


@pytest.mark.parametrize(
    ("points", "skip", "message"),
    [
        (torch.ones(6, 4), 1, "span no more than 1 dimensions"),
        (torch.zeros(6, 4), 0, "span no more than 0 dimensions"),
        (torch.eye(6)[:, :2], 1, "of 2 singular values, skip=1 leaves no two"),
        (torch.ones(1, 4), 0, "of 1 singular values"),
        (torch.eye(4), -1, "skip=-1"),
    ],
)
def test_a_decay_of_nothing_is_refused(points, skip, message):
    with pytest.raises(DataError, match=message):
        spectral_decay(points, skip)


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(spread, extraglobs={"torch": torch})
    assert (failed, tried > 0) == (0, True)
