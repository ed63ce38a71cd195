"""Two-stage generation: its formulas."""

import math

import pytest
import torch
from dmlbench_plugins.augmenters import two_stage_generation as module
from dmlbench_plugins.augmenters.two_stage_generation import (
    TwoStageGeneration,
    distance,
    reversed_loss,
    stretch,
    triplet_loss,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dmlbench.api import Triplets, UsageError

few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
LN = math.log


def at(*values):
    return torch.tensor(values, dtype=torch.float64)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def close(expected):
    return pytest.approx(expected, rel=0, abs=1e-12)


def component(**options):
    torch.manual_seed(0)
    return TwoStageGeneration(3, 4, 6, 100, hidden=8, class_dim=2, **options).double()


def calibrated(alpha, beta, metric, generator):
    made = component()
    made.calibrated.fill_(True)
    for name, value in (
        ("alpha", alpha),
        ("beta", beta),
        ("loss_metric", metric),
        ("loss_generator", generator),
    ):
        getattr(made, name).fill_(value)
    made._calibrate()
    return made


# ---- the first stage


@pytest.mark.parametrize(
    ("gamma", "a", "p"),
    [(0.0, (0, 0), (0.6, 0)), (0.5, (-0.1, 0), (0.7, 0)), (1.0, (-0.2, 0), (0.8, 0))],
)
def test_a_close_pair_is_moved_apart_towards_the_mean_distance_of_negatives(gamma, a, p):
    ends = stretch(at([0, 0]), at([0.6, 0]), at([0, 1]), number(gamma))
    assert [end[0].tolist() for end in ends] == [close(list(a)), close(list(p))]


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_a_distant_pair_stays(gamma):
    a, p = at([0, 0]), at([1.2, 0])
    assert all(map(torch.equal, stretch(a, p, at([0, 1]), number(gamma)), (a, p)))


def test_the_middle_of_a_pair_stays():
    a, p = stretch(at([1, 2]), at([1, 2.5]), at([1, 4]), number(0.1))
    assert (a[0].tolist(), p[0].tolist()) == (close([1, 1.925]), close([1, 2.575]))
    assert distance(a, p).item() == close(0.65)
    assert ((a + p) / 2)[0].tolist() == close([1, 2.25])


def test_the_aim_is_the_mean_distance_over_the_triplets():
    zeros, p, n = at([0, 0], [0, 0]), at([1, 0], [1, 0]), at([5, 0], [0, 1])
    assert distance(*stretch(zeros, p, n, number(1.0))).tolist() == close([3, 3])


def test_equal_ends_have_a_finite_gradient():
    a = at([0.3, 0.4], [1, 0]).requires_grad_()
    ends = stretch(a, a.detach().clone(), at([1, 1], [0, 1]), number(0.5))
    (ends[0].sum() + distance(*ends).sum()).backward()
    assert torch.equal(ends[0], a)
    assert a.grad.isfinite().all()


def test_the_new_distance_is_continuous_and_never_falls_with_the_old_one():
    old = torch.linspace(0, 2, 2001, dtype=torch.float64)
    a = torch.zeros(2001, 2, dtype=torch.float64)
    p = torch.stack([old, torch.zeros_like(old)], dim=1)
    n = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(2001, 2)
    new = distance(*stretch(a, p, n, number(0.7)))[1:]
    assert (new.diff() > 0).all()
    assert new.diff().max() < 0.002


# ---- the second stage


@pytest.mark.parametrize(
    ("gamma", "n", "expected"),
    [(0.0, (0, 1.5), 1.05), (0.5, (0, 1.5), 1.25), (1.0, (0, 1.5), 1.45), (1.0, (0, 0.5), 0.0)],
)
def test_the_margin_by_which_the_order_is_to_be_violated_grows_with_gamma(gamma, n, expected):
    found = reversed_loss(at([0, 0]), at([1, 0]), at(n), 0.2, number(gamma))
    assert found.item() == close(expected)


@pytest.mark.parametrize(("n", "expected"), [((0, 1.5), 0.0), ((0, 0.5), 0.95)])
def test_the_metrics_own_loss_of_the_same_points(n, expected):
    assert triplet_loss(at([0, 0]), at([1, 0]), at(n), 0.2).item() == close(expected)


@few
@seeds
def test_both_losses_equal_a_plain_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    a, p, n = torch.randn(3, 7, 4, generator=generator, dtype=torch.float64)
    gamma = torch.rand((), generator=generator, dtype=torch.float64)
    square = lambda u, v: sum((x - y) ** 2 for x, y in zip(u, v, strict=True))
    rows = list(zip(a.tolist(), p.tolist(), n.tolist(), strict=True))
    real = [max(0.0, square(a, p) - square(a, n) + 0.2) for a, p, n in rows]
    mu = 0.2 * (2 * float(gamma) - 1)
    made = [max(0.0, square(a, n) - square(a, p) + mu) for a, p, n in rows]
    assert triplet_loss(a, p, n, 0.2).item() == pytest.approx(sum(real) / 7)
    assert reversed_loss(a, p, n, 0.2, gamma).item() == pytest.approx(sum(made) / 7)


# ---- the pace


@pytest.mark.parametrize(("share", "expected"), [(1, 0.1), (2, 0.19), (8, 0.56953279)])
def test_gamma_grows_as_the_loss_of_real_triplets_falls(share, expected):
    assert calibrated(-LN(0.9) * 0.3, 0, 0.3 / share, 1).gamma.item() == close(expected)


@pytest.mark.parametrize(("generator_loss", "expected"), [(4.0, 0.5), (2.0, 0.25), (8.0, 0.707106781186548)])
def test_the_real_triplets_weigh_less_as_the_generators_improve(generator_loss, expected):
    made = calibrated(0, LN(2) * 4.0, 1, generator_loss)
    assert made.weight_real.item() == close(expected)
    assert made.weight_generated.item() == close(1 - expected)


def test_calibration_gives_the_settings_at_the_losses_that_it_finds_and_happens_once():
    made = component(hardness=0.2, share_real=0.6)
    assert (made.gamma.item(), made.weight_real.item()) == (close(0.2), 1.0)
    made._calibrate()
    assert not made.calibrated  # nothing is known yet
    made.loss_metric.fill_(0.08)
    made.loss_generator.fill_(3.0)
    made._calibrate()
    assert (made.gamma.item(), made.weight_real.item()) == (close(0.2), close(0.6))
    made.loss_metric.fill_(0.04)
    made._calibrate()
    assert made.gamma.item() == close(1 - 0.8**2)


def test_weights_mix_the_two_losses():
    made = calibrated(0, LN(2) * 4.0, 1, 2.0)
    assert (made.weight_real * 0.95 + made.weight_generated * 0.4).item() == close(0.5375)


@pytest.mark.parametrize("wrong", [{"hardness": 1.0}, {"share_real": 0.0}, {"smoothing": 1.0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        component(**wrong)


# ---- the generators' losses


def ordinary(made, triplets=5, seed=3):
    generator = torch.Generator().manual_seed(seed)
    z, y = (torch.randn(9, width, generator=generator, dtype=torch.float64) for width in (4, 6))
    labels = torch.arange(9) // 3
    a = torch.randint(3, (triplets,), generator=generator)
    chosen = torch.stack([a, (a + 1) % 3, 3 + torch.randint(6, (triplets,), generator=generator)])
    return made.generate(z, y, labels, chosen), z, y, labels, chosen


def cross_entropy(logits, label):
    return LN(sum(math.exp(x) for x in logits)) - logits[label]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def test_the_losses_of_generators_and_discriminator_equal_a_plain_loop():
    made = component(reconstruction=1.3, adversarial=0.7, diversity=0.4, reverse=1.1, keep=0.9)
    out, _, y, labels, chosen = ordinary(made)
    logits = lambda rows: made.discriminator(rows).tolist()
    square = lambda u, v: sum((s - t) ** 2 for s, t in zip(u, v, strict=True))
    a, p, n = (side.tolist() for side in chosen)
    label = labels.tolist()

    real = mean(
        cross_entropy(row, label[i])
        for row, i in zip(logits(y[torch.tensor(a + p + n)]), a + p + n, strict=True)
    )
    fakes = [
        *out.anchors.unbind(),
        *out.positives.unbind(),
        *out.negatives.unbind(),
    ]
    fake = mean(cross_entropy(row, 3) for row in logits(torch.stack(fakes)))
    assert made.discriminator_loss(out, y, labels, chosen).item() == pytest.approx(real + fake)

    again = mean(square(row, y[i].tolist()) / 6 for row, i in zip(out.again.tolist(), a + p, strict=True))
    accepted = sum(
        mean(cross_entropy(row, label[i]) for row, i in zip(logits(rows), places, strict=True))
        for rows, places in ((out.anchors, a), (out.positives, p))
    )
    ratios = [
        math.sqrt(square(sa, sp)) / (math.sqrt(square(ya, yp)) + 1e-6)
        for sa, sp, ya, yp in zip(
            *(part.tolist() for part in (*out.stretched, out.anchors, out.positives)), strict=True
        )
    ]
    expected = 1.3 * again + 0.7 * accepted + 0.4 * mean(ratios)
    assert made.first_loss(out, y, labels, chosen).item() == pytest.approx(expected)

    embedded = [part[:, :4] for part in (out.anchors, out.positives, out.negatives)]
    za, zp, zn = (part.tolist() for part in embedded)
    mu = 0.2 * (2 * 0.1 - 1)
    turned = mean(max(0.0, square(za[t], zn[t]) - square(za[t], zp[t]) + mu) for t in range(5))
    kept = mean(square(row, y[i].tolist()) / 6 for row, i in zip(out.negatives.tolist(), n, strict=True))
    seen = mean(cross_entropy(row, label[i]) for row, i in zip(logits(out.negatives), n, strict=True))
    expected = 1.1 * turned + 0.9 * kept + 0.7 * seen
    assert made.second_loss(out, embedded, y, labels, chosen).item() == pytest.approx(expected)


def test_the_ratio_against_collapse_and_the_discriminators_view_worked_out_by_hand():
    made = component(reconstruction=0.0, adversarial=0.0, diversity=1.0)
    out, _, y, labels, chosen = ordinary(made, triplets=2)
    zeros, ones = torch.zeros(2, 6).double(), torch.eye(2, 6).double()
    out = out._replace(stretched=(zeros, ones), anchors=zeros, positives=2 * ones)
    assert made.first_loss(out, y, labels, chosen).item() == pytest.approx(0.5, abs=1e-6)
    assert functional.cross_entropy(at([2, 0, 0]), torch.tensor([0])).item() == close(0.239544766221885)
    assert functional.cross_entropy(at([2, 0, 0]), torch.tensor([2])).item() == close(2.239544766221885)


def test_where_nothing_is_stretched_and_the_generator_inverts_the_head_features_come_back():
    made = component(hardness=0.0)
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    made.first = nn.Linear(6, 4, bias=False).double()
    made.second = nn.Linear(12, 4).double()
    with torch.no_grad():
        made.first.weight.copy_(torch.cat([torch.linalg.inv(matrix), torch.zeros(4, 2)], dim=1))
    chosen = torch.tensor([[0, 1], [1, 2], [4, 5]])
    out = made.generate(y @ matrix.T, y, torch.arange(9) // 3, chosen)
    assert torch.allclose(out.anchors, y[chosen[0]])
    assert torch.allclose(out.positives, y[chosen[1]])
    assert torch.allclose(out.again, y[chosen[:2].flatten()])


# ---- small batches, many classes


def test_nothing_is_made_of_less_than_two_triplets():
    made = component(warm_up=0.0, alone=0.0)
    for count in (0, 1):
        triplets = Triplets(torch.tensor([[0], [1], [3]])[:, :count])
        rows = torch.randn(9, 4).double(), torch.randn(9, 6).double(), torch.arange(9) // 3
        given = (*rows, triplets, lambda y: y[:, :4], lambda raw, view: raw, 50)
        assert list(made.before_main(*given)) == []
        assert made(*given) is None


def test_triplets_of_rows_without_a_feature_are_left_out():
    triplets = Triplets(torch.tensor([[0, 1, 5], [1, 6, 0], [2, 2, 2]]))
    assert module._with_features(triplets, torch.zeros(4, 6)).tolist() == [[0], [1], [2]]


def test_its_size_is_bounded_at_eleven_thousand_classes_and_no_state_grows():
    classes, dim, wide = 11_318, 512, 2_048
    made = TwoStageGeneration(classes, dim, wide, 1_000)
    sizes = {name: value.numel() for name, value in made.state_dict().items()}
    first = (dim + 64) * 512 + 512 + 2 * 512 + 512 * wide + wide
    second = 3 * wide * wide + 2 * wide * wide + 3 * wide + 4 * wide
    critic = wide * 512 + 512 + 512 * (classes + 1) + classes + 1
    assert sum(sizes.values()) == first + second + critic + classes * 64 + 7
    assert 4 * sum(sizes.values()) < 150 * 2**20
