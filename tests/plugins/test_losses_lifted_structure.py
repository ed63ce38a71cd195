import math

import pytest
import torch
from dmlbench_plugins.losses.lifted_structure import lifted_structure, lifted_structure_generalised
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import GeneralizedLiftedStructureLoss, LiftedStructureLoss

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
both = pytest.mark.parametrize("loss", [lifted_structure, lifted_structure_generalised])
RAW = LpDistance(normalize_embeddings=False)

LINE = torch.tensor([[0.0], [1.0], [3.0], [5.0]], dtype=torch.float64), torch.tensor([0, 0, 1, 1])
PLANE = (
    torch.tensor([[0, 0], [1, 1], [2, 0], [0, 3], [1, 4], [4, 4]], dtype=torch.float64),
    torch.tensor([0, 0, 0, 1, 1, 2]),
)


@pytest.fixture(scope="session")
def of(pairs):
    """A loss of raw rows and labels."""

    def call(loss, rows, labels, refs=None, ref_labels=None, **options):
        masks = pairs(rows, labels, refs, ref_labels)[1:]
        return loss(rows, rows if refs is None else refs, *masks, **options)

    return call


def raw(batch, seed, **shape):
    """Rows of all lengths."""
    rows, labels = batch(seed=seed, **shape)
    return 1.5 * rows + 0.7 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed)), labels


def test_four_points_of_a_line_and_their_gradient(of):
    rows = LINE[0].clone().requires_grad_()
    loss = of(lifted_structure, rows, LINE[1])
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.item() == pytest.approx(0.5669783346, abs=1e-10)
    expected = [0.032761105, 0.907428594, -1.548211189, 0.608021490]
    assert gradient[:, 0].tolist() == pytest.approx(expected, abs=1e-9)
    assert gradient.sum().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("margin", "expected"), [(1.0, 0.5491558115), (0.0, 0.0121348917)])
def test_six_points_of_the_plane(of, margin, expected):
    assert of(lifted_structure, *PLANE, margin=margin).item() == pytest.approx(expected, abs=1e-10)


def test_six_points_of_the_plane_generalised(of):
    # The card's 0.6415710272 is pytorch-metric-learning's mean over six rows, of which the last has no
    # positive: it counts there with its negatives alone. Ours are the five that have both.
    theirs = GeneralizedLiftedStructureLoss(distance=RAW)(*PLANE).item()
    assert theirs == pytest.approx(0.6415710272, abs=1e-9)
    lonely = max(0.0, reference_pairs.log_sum_exp([1 - math.dist(PLANE[0][5], x) for x in PLANE[0][:5]]))
    ours = of(lifted_structure_generalised, *PLANE).item()
    assert ours == pytest.approx((6 * theirs - lonely) / 5, abs=1e-9)


def test_a_closed_hinge_is_zero_with_a_zero_gradient(of):
    rows = torch.tensor([[0.0], [0.1], [10.0], [10.1]], dtype=torch.float64, requires_grad=True)
    loss = of(lifted_structure, rows, torch.tensor([0, 0, 1, 1]))
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(rows))


@few
@seeds
@both
@pytest.mark.parametrize("margin", [0.3, 1.0])
def test_it_equals_a_plain_loop(batch, pairs, of, loss, margin, seed):
    rows, labels = raw(batch, seed)
    d = reference_pairs.distances(rows.tolist(), rows.tolist())
    masks = (mask.tolist() for mask in pairs(rows, labels)[1:])
    assert of(loss, rows, labels, margin=margin).item() == pytest.approx(
        getattr(reference_pairs, loss.__name__)(d, *masks, margin), rel=1e-9
    )


@few
@seeds
@both
def test_anchors_and_refs_may_be_different_rows(batch, pairs, of, loss, seed):
    rows, labels = raw(batch, seed, classes=3, per_class=2)
    refs, ref_labels = raw(batch, seed + 1, classes=4, per_class=5)
    d = reference_pairs.distances(rows.tolist(), refs.tolist())
    masks = (mask.tolist() for mask in pairs(rows, labels, refs, ref_labels)[1:])
    value = of(loss, rows, labels, refs, ref_labels).item()
    assert value == pytest.approx(getattr(reference_pairs, loss.__name__)(d, *masks, 1.0), rel=1e-9)


@few
@seeds
def test_it_equals_pytorch_metric_learning_on_raw_rows(batch, of, seed):
    rows, labels = raw(batch, seed)
    theirs = LiftedStructureLoss(neg_margin=1, pos_margin=0, distance=RAW)(rows, labels)
    assert of(lifted_structure, rows, labels).item() == pytest.approx(theirs.item(), rel=1e-8)


@few
@seeds
def test_generalised_it_equals_pytorch_metric_learning_where_every_row_has_both(batch, of, seed):
    rows, labels = raw(batch, seed)
    theirs = GeneralizedLiftedStructureLoss(neg_margin=1, pos_margin=0, distance=RAW)(rows, labels)
    assert of(lifted_structure_generalised, rows, labels).item() == pytest.approx(theirs.item(), rel=1e-8)


@few
@seeds
def test_it_lies_between_the_hardest_negative_and_that_plus_the_log_of_their_number(batch, pairs, of, seed):
    rows, labels = raw(batch, seed, per_class=2)
    d = torch.cdist(rows, rows)
    _, positives, negatives = pairs(rows, labels)
    near = d.masked_fill(~negatives, torch.inf).amin(dim=1)
    i, j = positives.nonzero(as_tuple=True)
    hard = 1 - torch.minimum(near[i], near[j]) + d[i, j]
    most = hard + torch.log(negatives.sum(dim=1)[i] + negatives.sum(dim=1)[j])
    least, upper = (bound.clamp(min=0).square().mean().item() / 2 for bound in (hard, most))
    assert least - 1e-12 <= of(lifted_structure, rows, labels).item() <= upper + 1e-12


@few
@seeds
@both
def test_moving_and_turning_all_rows_does_not_matter_and_scaling_them_does(batch, of, loss, seed):
    rows, labels = raw(batch, seed)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double())
    value = of(loss, rows, labels).item()
    assert of(loss, 3.0 + rows @ rotation, labels).item() == pytest.approx(value, rel=1e-9)
    assert of(loss, 2 * rows, labels).item() != pytest.approx(value, rel=1e-3)


@both
def test_gradients_agree_with_finite_differences_and_sum_to_zero(batch, of, loss):
    rows, labels = raw(batch, 1)
    rows.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: of(loss, x, labels), rows)
    (gradient,) = torch.autograd.grad(of(loss, rows, labels), rows)
    assert gradient.sum(dim=0).abs().max() < 1e-12


@both
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_single_precision_keeps_the_digits_of_rows_far_from_the_origin(batch, of, loss, offset):
    rows, labels = raw(batch, 2)
    single = (offset + rows).float()
    exact = of(loss, single.double(), labels).item()
    assert of(loss, single, labels).item() == pytest.approx(exact, rel=1e-5)


@both
@pytest.mark.parametrize("length", [1.0, 30.0])
def test_identical_rows_have_a_finite_gradient(of, loss, length):
    rows = length * torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.6, 0.8], [0.0, 1.0]])
    rows.requires_grad_()
    (gradient,) = torch.autograd.grad(of(loss, rows, torch.tensor([0, 0, 1, 1])), rows)
    assert gradient.isfinite().all()
    assert 0 < gradient.abs().max() < 10


@both
def test_distances_past_the_range_of_exponentials_are_harmless(of, loss):
    rows = torch.tensor([[0.0], [300.0], [500.0], [900.0]], requires_grad=True)
    value = of(loss, rows, torch.tensor([0, 0, 1, 1]))
    (gradient,) = torch.autograd.grad(value, rows)
    assert value.item() > 0
    assert gradient.isfinite().all()


@both
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_gives_nothing(four, of, loss, labels):
    rows = four[0].clone().requires_grad_()
    value = of(loss, rows, torch.tensor(labels))
    if value is not None:  # positives alone: every pair is without a negative
        (gradient,) = torch.autograd.grad(value, rows)
        assert value.item() == 0
        assert torch.equal(gradient, torch.zeros_like(rows))
        assert labels == [0, 0, 0, 0]


def test_the_second_loss_is_another_one_than_the_first(of):
    assert of(lifted_structure, *PLANE).item() != pytest.approx(
        of(lifted_structure_generalised, *PLANE).item(), rel=0.05
    )


def test_of_unit_vectors_the_hinge_hardly_ever_closes(batch, pairs, of):
    """Why the term wants raw rows: separated classes still cost, and the loss goes on pushing."""
    rows, labels = batch(classes=8, per_class=4, dim=16, noise=0.02)
    assert of(lifted_structure, rows, labels).item() > 0.5
    assert of(lifted_structure, 20 * rows, labels).item() == 0
