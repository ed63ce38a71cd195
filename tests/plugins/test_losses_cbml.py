import math

import pytest
import torch
from dmlbench_plugins.losses.cbml import cbml, evidence
from dmlbench_plugins.losses.variance_constraint import variance_constraint
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultiSimilarityLoss
from torch.nn import functional

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
forms = pytest.mark.parametrize("form", ["log", "sqrt", "const"])

AUTHORS = {"positive_base": 0.5, "positive_scale": 0.5, "negative_base": 1.0, "negative_scale": 0.01}
GENTLE = AUTHORS | {"negative_base": 0.5, "negative_scale": 0.1}


@pytest.fixture(scope="session")
def on_circle(pairs):
    """Points of the unit circle, in degrees, the first half of one class, the others of another."""

    def make(*degrees):
        angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
        rows = torch.stack([angle.cos(), angle.sin()], dim=1)
        return pairs(rows, torch.arange(len(degrees)) * 2 // len(degrees))

    return make


def total(data, *, epsilon=0.1, mix=0.2, **options):
    """The method: the loss and the constraint of the anchors that mining keeps."""
    constraint = variance_constraint(*data, mix=mix, epsilon=epsilon)
    return cbml(*data, epsilon=epsilon, **options) + constraint


@forms
def test_four_points_with_and_without_the_constraint(on_circle, form):
    expected = {
        "log": (0.2148872824, 0.2505126187),
        "sqrt": (1.1198112339, 1.1554365702),
        "const": (1.0670691165, 1.1026944528),
    }[form]
    data = on_circle(0, 30, 50, 90)
    assert cbml(*data, form=form).item() == pytest.approx(expected[0], abs=1e-9)
    assert total(data, form=form).item() == pytest.approx(expected[1], abs=1e-9)


def test_mining_keeps_the_inner_points_alone(on_circle):
    positives, negatives, kept = evidence(*on_circle(0, 30, 50, 90), 0.1)
    assert kept.tolist() == [False, True, True, False]
    assert positives.sum(dim=1)[kept].tolist() == negatives.sum(dim=1)[kept].tolist() == [1, 1]


def test_the_parts_of_each_anchor_and_the_divisor_of_all(on_circle):
    data = on_circle(0, 30, 50, 90)
    for i, parts in (
        (1, (0.392664664 + 0.002400835, 0.098374267)),
        (2, (0.462082795 + 0.002400835, 0.044127079)),
    ):
        one = [part[i : i + 1] for part in data]
        assert cbml(*one).item() == pytest.approx(parts[0], abs=2e-9)
        assert variance_constraint(*one).item() == pytest.approx(parts[1], abs=1e-9)
    assert cbml(*data).item() == pytest.approx((0.392664664 + 0.462082795 + 2 * 0.002400835) / 4, abs=2e-9)


@pytest.mark.parametrize(
    ("form", "epsilon", "expected"),
    [
        ("log", 0.1, 2.4182699295),
        ("sqrt", 0.1, 5.1524459887),
        ("const", 0.1, 11.2168798631),
        ("log", None, 3.2325137927),
    ],
)
def test_four_points_with_gentler_negatives(on_circle, form, epsilon, expected):
    value = cbml(*on_circle(0, 30, 50, 90), form=form, epsilon=epsilon, **GENTLE)
    # The number for const was worked out from cosines of nine digits.
    assert value.item() == pytest.approx(expected, abs=1e-7 if form == "const" else 1e-9)


def test_the_gradient_of_the_first_anchor(on_circle):
    similarity, positives, negatives = (part[:1] for part in on_circle(0, 30, 50, 90))
    leaf = similarity.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cbml(leaf, positives, negatives, epsilon=None, **GENTLE), leaf)
    assert gradient[0, 1:].tolist() == pytest.approx([-0.649489706, 8.055203206, 0.013016235], abs=1e-8)


@few
@seeds
@forms
@pytest.mark.parametrize("epsilon", [0.1, None])
def test_it_equals_a_plain_loop(batch, pairs, form, epsilon, seed):
    data = pairs(*batch(seed=seed))
    rows = [part.tolist() for part in data]
    found = [
        reference_pairs.cbml_parts(s, p, n, form, 0.5, 0.5, 0.5, 0.1, 0.25, 0.25, epsilon)
        for s, p, n in zip(*rows, strict=True)
    ]
    expected = sum(sum(parts) for parts in found if parts) / len(found)
    value = cbml(*data, form=form, epsilon=epsilon, **GENTLE)
    assert (0 if value is None else value.item()) == pytest.approx(expected, rel=1e-8)


@few
@seeds
def test_the_log_form_is_multi_similarity_without_its_divisors(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    data = pairs(rows, labels)
    alone = data[0], data[1], data[2] & False  # no negative: the push of each anchor is 0
    theirs = MultiSimilarityLoss(alpha=2, beta=10, base=0.5)
    p, n = data[1].nonzero(as_tuple=True), data[2].nonzero(as_tuple=True)
    nothing = torch.zeros(0, dtype=torch.int64)
    pull = theirs(rows, labels, (*p, nothing, nothing)).item()
    push = theirs(rows, labels, (nothing, nothing, *n)).item()
    assert alone[2].sum() == 0
    value = cbml(*data, epsilon=None, **GENTLE).item()
    assert value == pytest.approx(2 * pull + 10 * push, rel=1e-8)


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    data = pairs(*batch(classes=3, per_class=1, seed=5), *batch(classes=4, per_class=5, seed=6))
    found = [
        reference_pairs.cbml_parts(s, p, n, "log", 0.5, 0.5, 1.0, 0.01, 0.25, 0.25, 0.1)
        for s, p, n in zip(*(part.tolist() for part in data), strict=True)
    ]
    expected = sum(sum(parts) for parts in found if parts) / 3
    assert cbml(*data).item() == pytest.approx(expected, rel=1e-8)


@forms
@pytest.mark.parametrize("epsilon", [0.1, None])
def test_gradients_agree_with_finite_differences(batch, pairs, form, epsilon):
    rows, labels = batch(seed=1)
    raw = (1.7 * rows).requires_grad_()

    def loss(x):
        return cbml(*pairs(functional.normalize(x, dim=1), labels), form=form, epsilon=epsilon, **GENTLE)

    assert torch.autograd.gradcheck(loss, raw)


def test_separated_classes_leave_nothing_to_count(on_circle):
    data = on_circle(0, 5, 170, 175)
    assert cbml(*data) is None
    assert variance_constraint(*data, epsilon=0.1) is None


def test_the_same_picture_twice_is_no_positive_pair(four, pairs):
    rows = four[0][[0, 0, 2, 3]]
    similarity, positives, negatives = pairs(rows, torch.tensor([0, 0, 1, 1]))
    kept = evidence(similarity, positives, negatives, None)[2]
    assert positives[0, 1]
    assert kept.tolist() == [False, False, True, True]


@few
@seeds
def test_the_order_of_the_batch_and_a_rotation_do_not_matter(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double())
    value = total(pairs(rows, labels), **GENTLE).item()
    assert total(pairs((rows @ rotation)[order], labels[order]), **GENTLE).item() == pytest.approx(
        value, rel=1e-9
    )


def test_a_const_loss_weighs_its_two_kinds(on_circle):
    data = on_circle(0, 30, 50, 90)
    a = math.exp(-(data[0][0, 1] - 0.5) / 0.5) + math.exp(-(data[0][2, 3] - 0.5) / 0.5)
    c = 2 * math.exp((data[0][1, 2] - 0.5) / 0.1)
    value = cbml(*data, form="const", positive_weight=0.5, negative_weight=2.0, **GENTLE)
    assert value.item() == pytest.approx((4 + 0.5 * a + 2.0 * c) / 4, rel=1e-10)


def test_the_pair_term_of_a_const_loss_has_a_floor_of_two_for_each_kept_anchor(on_circle):
    value = cbml(*on_circle(0, 30, 50, 90), form="const", positive_weight=0.0, negative_weight=0.0)
    assert value.item() == 2 * 2 / 4


def test_the_authors_scales_are_harmless_in_single_precision(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=9))
    exact = cbml(similarity, positives, negatives)
    single = similarity.float().requires_grad_()
    loss = cbml(single, positives, negatives)
    (gradient,) = torch.autograd.grad(loss, single)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert gradient.isfinite().all()
    assert math.isfinite(loss.item())
