import math

import pytest
import torch
from dmlbench_plugins.losses.n_pair import n_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import NPairsLoss

from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.sight import Sight, scope_of

from . import reference_proxies as reference

TWO = ([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 1.0]])
THREE = (
    [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0]],
    [[1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [2.0, 1.0, 1.0]],
)
CORNERS = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]

EXACT = {"rel": 0.0, "abs": 1e-10}

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
forms = pytest.mark.parametrize("form", ["mc", "ovo"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def of_pairs(anchors, positives, **options):
    """Anchor i and positive i are of class i, as the sampler draws them."""
    f = torch.as_tensor(anchors, dtype=torch.float64)
    g = torch.as_tensor(positives, dtype=torch.float64)
    classes = torch.arange(len(f))
    return n_pair(f, g, classes, torch.eye(len(f), dtype=torch.bool), generator(), **options)


def value(anchors, positives, **options):
    return of_pairs(anchors, positives, **options).item()


# ---- known answers


@pytest.mark.parametrize(
    ("pairs", "form", "expected", "swapped"),
    [
        (TWO, "mc", 0.3132616875, 0.4100375958),
        (TWO, "ovo", 0.3132616875, 0.4100375958),
        (THREE, "mc", 0.8653878033, 0.8019248021),
        (THREE, "ovo", 0.9361492019, None),
        ((CORNERS, CORNERS), "mc", math.log(1 + 2 * math.exp(-2) + math.exp(-4)), None),
    ],
)
def test_known_answers(pairs, form, expected, swapped):
    anchors, positives = pairs
    assert value(anchors, positives, form=form) == pytest.approx(expected, **EXACT)
    if swapped is not None:
        assert value(positives, anchors, form=form) == pytest.approx(swapped, **EXACT)
        both = value(anchors, positives, form=form, symmetric=True)
        assert both == pytest.approx((expected + swapped) / 2, **EXACT)


def test_the_multi_class_gradient_at_a_known_point():
    anchors, positives = (torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in THREE)
    of_pairs(anchors, positives).backward()
    assert anchors.grad[0].tolist() == pytest.approx((0.236062099, 0.249274986, -0.004404296), abs=1e-9)
    assert positives.grad[2].tolist() == pytest.approx((0.128880047, 0.029186585, 0.621705722), abs=1e-9)


@few
@given(seed=st.integers(0, 9_999), classes=st.integers(1, 6))
@forms
def test_it_equals_a_plain_loop(batch, form, classes, seed):
    anchors = 2 * batch(classes=classes, per_class=1, seed=seed)[0]
    positives = 3 * batch(classes=classes, per_class=1, seed=seed + 1)[0]
    expected = reference.n_pair(anchors.tolist(), positives.tolist(), form)
    assert value(anchors, positives, form=form) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@few
@seeds
def test_value_and_gradient_equal_pytorch_metric_learnings(batch, seed):
    """Theirs takes the first pair of each label, and normalises unless told not to."""
    anchors = 2 * batch(classes=4, per_class=1, seed=seed)[0]
    positives = 3 * batch(classes=4, per_class=1, seed=seed + 1)[0]
    rows = torch.stack([anchors, positives], dim=1).flatten(0, 1).requires_grad_()
    theirs = NPairsLoss(distance=DotProductSimilarity(normalize_embeddings=False))
    their_value = theirs(rows, torch.arange(4).repeat_interleave(2))
    ours = anchors.clone().requires_grad_(), positives.clone().requires_grad_()
    found = of_pairs(*ours)
    found.backward()
    their_value.backward()
    assert found.item() == pytest.approx(their_value.item(), rel=1e-12)
    assert torch.allclose(
        torch.stack([part.grad for part in ours], dim=1).flatten(0, 1), rows.grad, rtol=1e-9
    )


def test_unit_rows_are_another_loss():
    anchors, positives = (torch.tensor(part, dtype=torch.float64) for part in THREE)
    unit = [torch.nn.functional.normalize(part, dim=1) for part in (anchors, positives)]
    assert value(*unit) == pytest.approx(0.9030435176, **EXACT)


# ---- properties


@few
@given(seed=st.integers(0, 9_999), classes=st.integers(2, 6))
def test_one_against_one_is_never_below_all_at_once_and_equal_for_two_classes(batch, classes, seed):
    anchors = 2 * batch(classes=classes, per_class=1, seed=seed)[0]
    positives = 2 * batch(classes=classes, per_class=1, seed=seed + 1)[0]
    at_once, by_pair = value(anchors, positives), value(anchors, positives, form="ovo")
    if classes == 2:
        assert by_pair == pytest.approx(at_once, rel=1e-12)
    else:
        assert by_pair > at_once


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_equal_embeddings_cost_the_logarithm_of_the_number_of_classes(classes):
    rows = torch.ones(classes, 3)
    assert value(rows, rows) == pytest.approx(math.log(classes), abs=1e-12)
    assert value(rows, rows, form="ovo") == pytest.approx((classes - 1) * math.log(2), abs=1e-12)


def test_what_is_added_to_all_positives_does_not_matter_and_to_all_anchors_does(batch):
    anchors, _ = batch(classes=5, per_class=1, seed=1)
    positives, _ = batch(classes=5, per_class=1, seed=2)
    shift = torch.linspace(-1, 2, 6)
    plain = value(anchors, positives)
    assert value(anchors, positives + shift) == pytest.approx(plain, rel=1e-12)
    assert abs(value(anchors + shift, positives) - plain) > 0.01


def test_a_rotation_does_not_matter_and_the_length_does(batch):
    anchors, _ = batch(classes=5, per_class=1, seed=1)
    positives, _ = batch(classes=5, per_class=1, seed=2)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator(), dtype=torch.float64))
    plain = value(anchors, positives)
    assert value(anchors @ turn, positives @ turn) == pytest.approx(plain, rel=1e-10)
    assert abs(value(3 * anchors, 3 * positives) - plain) > 0.01


@forms
@pytest.mark.parametrize("symmetric", [False, True])
def test_gradients_agree_with_finite_differences(batch, form, symmetric):
    anchors = (2 * batch(classes=4, per_class=1, seed=1)[0]).requires_grad_()
    positives = (2 * batch(classes=4, per_class=1, seed=2)[0]).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f, g: of_pairs(f, g, form=form, symmetric=symmetric), (anchors, positives)
    )


@forms
def test_long_embeddings_do_not_overflow(form):
    rows = 100 * torch.eye(3)
    loss = n_pair(rows, rows.flip(0), torch.arange(3), torch.eye(3, dtype=torch.bool), generator(), form=form)
    assert loss.item() == pytest.approx(2 * 10_000 / 3, rel=1e-3)


# ---- which pairs


def test_the_samplers_role_says_who_is_the_positive(batch):
    """Rows as core hands them over, for a term with `refs = "is_positive"` and `view = "raw"`."""
    anchors, positives = (torch.tensor(part) for part in THREE)
    raw = torch.cat([anchors, positives])[[3, 1, 0, 5, 2, 4]]
    views = {"raw": raw, "unit": torch.nn.functional.normalize(raw, dim=1)}
    columns = {
        "labels": torch.tensor([7, 4, 7, 9, 9, 4]),
        "indices": torch.arange(6),
        "is_positive": torch.tensor([True, False, False, True, False, True]),
    }
    seen = scope_of(Scope(), Rows(views, columns, torch.arange(6), 6), Sight(refs="is_positive", view="raw"))
    names = ("anchors", "refs", "ref_labels", "positives")
    found = n_pair(*(seen[name] for name in names), generator())
    assert found.item() == pytest.approx(0.8653878033, abs=1e-6)


def squares(classes, per_class):
    """Rows against themselves, as a P x K batch has them."""
    labels = torch.arange(classes).repeat_interleave(per_class)
    same = labels[:, None] == labels
    return labels, same & ~torch.eye(len(labels), dtype=torch.bool)


def test_of_more_images_each_pair_of_two_has_its_turn():
    labels, positives = squares(classes=2, per_class=3)
    rows = torch.arange(6.0)[:, None]
    seen = {round(n_pair(rows, rows, labels, positives, generator(seed)).item(), 4) for seed in range(300)}
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    expected = {
        round(reference.n_pair([[a], [c + 3]], [[b], [d + 3]], "mc"), 4) for a, b in pairs for c, d in pairs
    }
    assert seen == expected


def test_the_generator_alone_decides():
    labels, positives = squares(classes=3, per_class=4)
    rows = torch.randn(12, 5, generator=generator(1))
    first, again, other = (n_pair(rows, rows, labels, positives, generator(seed)) for seed in (3, 3, 4))
    assert first.item() == again.item() != other.item()


def test_a_class_without_a_pair_takes_no_part():
    labels = torch.tensor([0, 0, 1, 2, 2])
    positives = (labels[:, None] == labels) & ~torch.eye(5, dtype=torch.bool)
    rows = torch.randn(5, 3, generator=generator(2), dtype=torch.float64)
    left = torch.tensor([0, 1, 3, 4])
    found = n_pair(rows, rows, labels, positives, generator())
    fewer = n_pair(rows[left], rows[left], labels[left], positives[left][:, left], generator())
    assert found.item() == fewer.item()


def test_without_any_pair_nothing_counts():
    rows = torch.randn(4, 3)
    assert n_pair(rows, rows, torch.arange(4), torch.zeros(4, 4, dtype=torch.bool), generator()) is None
