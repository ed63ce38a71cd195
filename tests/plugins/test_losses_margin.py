import math

import pytest
import torch
from dmlbench_plugins.losses.margin import Margin, MarginImages, MarginPairs
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MarginLoss

from dmlbench.api import Triplets

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def loss_of(kind, *facts, boundary=1.2, **options):
    """In float64; a boundary is kept in float32, which has no 1.2."""
    loss = kind(*facts, boundary=boundary, **options).double()
    torch.nn.init.constant_(getattr(loss, "around", loss).boundary, boundary)
    return loss


def at(*distances):
    """Similarities of unit vectors at these distances."""
    return [1 - d**2 / 2 for d in distances]


@pytest.fixture(scope="session")
def all_triplets(pairs):
    """Every (anchor, positive, negative) of a batch."""

    def make(rows, labels):
        _, positives, negatives = pairs(rows, labels)
        return Triplets((positives[:, :, None] & negatives[:, None, :]).nonzero().T)

    return make


@pytest.fixture
def three_triplets():
    """Positives at 0.9, 1.3 and 1.25, negatives at 1.1, 1.6 and 1.5; anchors of classes 0, 1 and 2."""
    near, far = at(0.9, 1.3, 1.25), at(1.1, 1.6, 1.5)
    similarity = torch.zeros(3, 6, dtype=torch.float64)
    similarity[range(3), range(3)] = torch.tensor(near, dtype=torch.float64)
    similarity[range(3), range(3, 6)] = torch.tensor(far, dtype=torch.float64)
    chosen = Triplets(torch.stack([torch.arange(3), torch.arange(3), torch.arange(3, 6)]))
    return similarity, chosen, torch.tensor([0, 1, 2, 1, 2, 0])


@pytest.fixture(scope="session")
def circle():
    """Points of the unit circle at 0, 60, 75 and 140 degrees, two of each class."""
    angle = torch.tensor([0.0, 60.0, 75.0, 140.0], dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=1), torch.tensor([0, 0, 1, 1])


# ---- known answers


@pytest.mark.parametrize(
    ("nu", "value", "gradient"),
    [(0.0, 0.2833333333, [1 / 3, -1 / 3, -1 / 3]), (0.1, 0.4033333333, [0.3666666667, -0.3, -0.3])],
)
def test_three_triplets_and_the_gradient_of_their_boundaries(three_triplets, nu, value, gradient):
    loss = loss_of(Margin, 3, nu=nu)
    found = loss(*three_triplets)
    assert found.item() == pytest.approx(value, abs=1e-9)
    found.backward()
    assert loss.boundary.grad.tolist() == pytest.approx(gradient, abs=1e-9)


def test_a_global_boundary_has_the_sum_of_the_gradients(three_triplets):
    loss = loss_of(Margin, 3, boundaries="global", nu=0.1)
    loss(*three_triplets).backward()
    assert loss.boundary.grad.tolist() == [pytest.approx(0.3666666667 - 0.6, abs=1e-9)]


def test_a_fixed_boundary_has_no_gradient_and_no_group():
    loss = Margin(3, boundaries="fixed")
    assert not loss.boundary.requires_grad
    assert loss.param_groups() == []


def test_four_points_of_a_circle_over_all_triplets(circle, pairs, all_triplets):
    rows, labels = circle
    loss = loss_of(Margin, 2)(pairs(rows, labels)[0], all_triplets(rows, labels), labels)
    assert loss.item() == pytest.approx(0.3170095943, abs=1e-9)


def test_four_points_of_a_circle_over_all_pairs(circle, pairs):
    rows, labels = circle
    assert loss_of(MarginPairs, 2)(*pairs(rows, labels), labels).item() == pytest.approx(
        0.3776121890, abs=1e-9
    )


def test_the_two_reductions_differ_because_a_pair_counts_once_for_each_of_its_triplets(circle, pairs):
    rows, labels = circle
    d = reference_pairs.distances(rows.tolist(), rows.tolist())
    hinges = {}
    for i in range(4):
        for j in range(4):
            sign = 1 if labels[i] == labels[j] else -1
            if i != j:
                (hinges[i, j],) = reference_pairs.margin_hinges([(d[i][j], 1.2, sign)], 0.2)
    by_triplets = [
        hinge
        for (i, p), near in hinges.items()
        for (a, n), far in hinges.items()
        if i == a and labels[i] == labels[p] and labels[a] != labels[n]
        for hinge in (near, far)
    ]
    assert reference_pairs.mean_of_open(by_triplets) == pytest.approx(0.3170095943, abs=1e-9)
    assert reference_pairs.mean_of_open(list(hinges.values())) == pytest.approx(0.3776121890, abs=1e-9)


def test_without_a_margin_it_is_the_distance_to_the_boundary(three_triplets):
    value = loss_of(Margin, 3, margin=0.0)(*three_triplets)
    # Open: 1.3 and 1.25 beyond 1.2, and the negative at 1.1 inside.
    assert value.item() == pytest.approx((0.1 + 0.05 + 0.1) / 3, abs=1e-9)


def test_a_boundary_at_the_margin_is_contrastive():
    """boundary = margin = m / 2: d of positives, [m - d]_+ of negatives."""
    similarity = torch.tensor([at(0.3, 0.7)], dtype=torch.float64)
    chosen = Triplets(torch.tensor([[0], [0], [1]]))
    value = loss_of(Margin, 1, margin=0.5, boundary=0.5)(similarity, chosen, torch.tensor([0, 1]))
    assert value.item() == pytest.approx((0.3 + (1 - 0.7)) / 2, abs=1e-9)


# ---- against a plain loop, and against pytorch-metric-learning


@few
@seeds
@pytest.mark.parametrize("boundaries", ["class", "global"])
def test_triplets_equal_a_plain_loop(batch, pairs, all_triplets, boundaries, seed):
    rows, labels = batch(seed=seed)
    chosen = all_triplets(rows, labels)
    loss = loss_of(Margin, 4, boundaries=boundaries, nu=0.05)
    with torch.no_grad():
        loss.boundary += torch.linspace(-0.3, 0.2, len(loss.boundary))
    b = loss.boundary.tolist() if boundaries == "class" else loss.boundary.tolist() * 4
    d = reference_pairs.distances(rows.tolist(), rows.tolist())
    hinges, penalty = [], 0.0
    for a, p, n in chosen.indices.T.tolist():
        of_anchor = b[labels[a]]
        hinges += reference_pairs.margin_hinges([(d[a][p], of_anchor, 1), (d[a][n], of_anchor, -1)], 0.2)
        penalty += 0.05 * of_anchor
    value = loss(pairs(rows, labels)[0], chosen, labels).item()
    assert value == pytest.approx(reference_pairs.mean_of_open(hinges, penalty), rel=1e-6)


@few
@seeds
def test_pairs_equal_a_plain_loop(batch, pairs, seed):
    rows, labels = batch(classes=3, per_class=2, seed=seed)
    refs, ref_labels = batch(classes=4, per_class=3, seed=seed + 1)
    loss = loss_of(MarginPairs, 4, nu=0.05)
    with torch.no_grad():
        loss.around.boundary += torch.linspace(-0.3, 0.2, 4)
    b, d = loss.around.boundary.tolist(), reference_pairs.distances(rows.tolist(), refs.tolist())
    signed = [
        (d[i][j], b[labels[i]], 1 if labels[i] == ref_labels[j] else -1)
        for i in range(len(rows))
        for j in range(len(refs))
    ]
    penalty = sum(0.05 * b[label] for label in labels.tolist())
    expected = reference_pairs.mean_of_open(reference_pairs.margin_hinges(signed, 0.2), penalty)
    value = loss(*pairs(rows, labels, refs, ref_labels), labels).item()
    assert value == pytest.approx(expected, rel=1e-6)


@few
@seeds
def test_it_equals_pytorch_metric_learning_without_nu(batch, pairs, all_triplets, seed):
    """With nu a scalar boundary's penalty is not divided there."""
    rows, labels = batch(seed=seed)
    theirs = MarginLoss(margin=0.2, nu=0, beta=1.2)(rows, labels).item()
    ours = loss_of(Margin, 4, boundaries="fixed")
    value = ours(pairs(rows, labels)[0], all_triplets(rows, labels), labels).item()
    assert value == pytest.approx(theirs, rel=1e-6)


@few
@seeds
def test_learned_boundaries_have_pytorch_metric_learnings_gradient(batch, pairs, all_triplets, seed):
    rows, labels = batch(seed=seed)
    theirs = MarginLoss(margin=0.2, nu=0.03, beta=1.1, learn_beta=True, num_classes=4).double()
    theirs(rows, labels).backward()
    ours = loss_of(Margin, 4, boundary=1.1, nu=0.03)
    ours(pairs(rows, labels)[0], all_triplets(rows, labels), labels).backward()
    # Their nu * boundary is a mean over the triplets' anchors that are not 0: the same divisor here.
    assert torch.allclose(ours.boundary.grad, theirs.beta.grad.double(), rtol=1e-5, atol=1e-7)


def test_gradients_agree_with_finite_differences(batch, pairs, all_triplets):
    rows, labels = batch(seed=1)
    chosen, loss = all_triplets(rows, labels), loss_of(Margin, 4, nu=0.1)

    def value(raw, boundary):
        loss.boundary = torch.nn.Parameter(boundary.detach())
        unit = torch.nn.functional.normalize(raw, dim=1)
        return torch.func.functional_call(
            loss, {"boundary": boundary}, (pairs(unit, labels)[0], chosen, labels)
        )

    boundary = torch.linspace(0.9, 1.3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(value, ((1.7 * rows).requires_grad_(), boundary.requires_grad_()))


# ---- boundaries


def test_an_image_has_its_class_boundary_plus_its_own(three_triplets):
    similarity, chosen, ref_labels = three_triplets
    plain, loss = loss_of(Margin, 3), loss_of(MarginImages, 3, 10)
    indices, labels = torch.tensor([7, 2, 5]), ref_labels[:3]
    assert loss(similarity, chosen, labels, indices).item() == plain(similarity, chosen, ref_labels).item()
    with torch.no_grad():
        loss.offset[7] = 0.05  # the negative at 1.1 of the first anchor is deeper inside
    value = loss(similarity, chosen, labels, indices)
    assert value.item() == pytest.approx((0.35 + 0.3 + 0.25) / 3, abs=1e-6)
    value.backward()
    expected = torch.zeros(10, dtype=torch.float64)
    expected[indices] = torch.tensor([1 / 3, -1 / 3, -1 / 3], dtype=torch.float64)
    assert torch.allclose(loss.offset.grad, expected)
    assert torch.allclose(loss.around.boundary.grad, expected[indices])


def test_boundaries_are_one_number_a_class_however_wide_the_embedding():
    """At the classes of Stanford Online Products: 45 kB, where proxies of 512 dimensions take 23 MB."""
    for loss in (Margin(11_318), MarginPairs(11_318), MarginImages(11_318, 59_551)):
        shapes = {tuple(p.shape) for p in loss.parameters()}
        assert shapes <= {(11_318,), (59_551,)}


@pytest.mark.parametrize(
    "loss", [Margin(4), MarginPairs(4), MarginImages(4, 9)], ids=lambda x: type(x).__name__
)
def test_boundaries_follow_their_own_sgd_without_decay(loss):
    groups = loss.param_groups()
    assert {id(p) for group in groups for p in group.parameters} == {id(p) for p in loss.parameters()}
    for group in groups:
        assert (group.optimiser, group.rate, group.weight_decay) == ("sgd", 5e-4, 0.0)
        assert group.options == {"momentum": 0.9}


def test_learned_boundaries_move_to_what_divides_their_class(pairs):
    """Two classes, one tight and one wide, and nothing but boundaries to learn."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 16, generator=generator)
    labels = torch.arange(60) % 2
    rows = rows * torch.where(labels == 0, 0.2, 0.5)[:, None]
    rows[:, 0] += torch.where(labels == 0, 1.0, -1.0)
    similarity, positives, negatives = pairs(torch.nn.functional.normalize(rows, dim=1), labels)
    distance, counted = (2 - 2 * similarity).clamp(min=0).sqrt(), positives | negatives
    loss = MarginPairs(2)

    def divided():
        """The share of pairs on their side of the boundary."""
        inside = distance < loss.around.boundary[labels][:, None]
        return (inside == positives)[counted].float().mean().item()

    before = divided()
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.05, momentum=0.9)
    for _ in range(100):
        optimiser.zero_grad()
        loss(similarity, positives, negatives, labels).backward()
        optimiser.step()
    tight, wide = loss.around.boundary.tolist()
    assert wide - tight > 0.15  # both began at 1.2
    assert before < 0.86
    assert divided() > 0.93


# ---- nothing to count


def test_closed_hinges_cost_nothing_and_move_no_boundary(three_triplets):
    similarity = torch.tensor([at(0.5, 1.9)], dtype=torch.float64, requires_grad=True)
    loss = loss_of(Margin, 1)
    value = loss(similarity, Triplets(torch.tensor([[0], [0], [1]])), torch.tensor([0, 1]))
    gradients = torch.autograd.grad(value, [similarity, loss.boundary])
    assert value.item() == 0
    assert all(not gradient.any() for gradient in gradients)


def test_nu_alone_costs_nothing():
    similarity = torch.tensor([at(0.5, 1.9)], dtype=torch.float64)
    value = loss_of(Margin, 1, nu=0.5)(
        similarity, Triplets(torch.tensor([[0], [0], [1]])), torch.tensor([0, 1])
    )
    assert value.item() == 0


def test_nothing_mined_and_no_pairs_give_nothing(four, pairs):
    rows, labels = four
    empty = Triplets(torch.zeros(3, 0, dtype=torch.int64))
    similarity, positives, negatives = pairs(rows[:1], labels[:1])
    assert Margin(2)(similarity, empty, labels[:1]) is None
    assert MarginImages(2, 4)(similarity, empty, labels[:1], torch.zeros(1).long()) is None
    assert MarginPairs(2)(similarity, positives, negatives, labels[:1]) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_pictures_have_a_finite_gradient(dtype):
    similarity = torch.tensor([[1 + 1e-7, 1.0]], dtype=dtype, requires_grad=True)
    chosen = Triplets(torch.tensor([[0], [0], [1]]))
    value = Margin(1, boundary=0.1).to(dtype)(similarity, chosen, torch.tensor([0, 1]))
    (gradient,) = torch.autograd.grad(value, similarity)
    assert value.item() == pytest.approx((0.1 + 0.3) / 2, abs=1e-3)
    assert gradient.isfinite().all()
    assert math.isfinite(value.item())
