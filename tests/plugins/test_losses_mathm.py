"""MATHM: its worked values, plain loops, and what its weights and its released form do."""

import math

import pytest
import torch
from dmlbench_plugins.losses import mathm as module
from dmlbench_plugins.losses.mathm import hinges_of
from dmlbench_plugins.miners.batch_hard import batch_hard
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner

few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

LINE = torch.tensor([0, 1, 4, 2, 6, 3, 5, 9], dtype=torch.float64)[:, None]
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
DOMAIN = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
ANGLES = torch.tensor([0, 20, 60, 35, 100, 75, 90, 150], dtype=torch.float64).deg2rad()
CIRCLE = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
PARTS = ("within", "across", "hybrid")


def mathm(rows, labels, domain, progress=0.5, **settings):
    return module.mathm(rows, labels, domain, progress, **settings)


def mathm_hinges(rows, labels, domain, progress=0.5, **settings):
    return module.mathm_hinges(rows, labels, domain, progress, **settings)


def total(parts):
    return sum(parts.values())


def by_loops(rows, labels, domain, margin):
    """The hinges of each part, of anchors that have both partners, over Python floats."""
    rows, labels, domain = rows.tolist(), labels.tolist(), domain.tolist()
    found = {part: [] for part in PARTS}
    for anchor, label, own in zip(rows, labels, domain, strict=True):

        def apart(same_class, same_domain, anchor=anchor, label=label, own=own):
            return [
                max(math.dist(anchor, other), 1e-6)
                for other, its, where in zip(rows, labels, domain, strict=True)
                if (its == label) == same_class and (where == own) == same_domain
            ]

        for part, positive, negative in (("within", 1, 1), ("across", 0, 0), ("hybrid", 0, 1)):
            far, near = apart(True, bool(positive)), apart(False, bool(negative))
            if far and near:
                found[part].append(max(far) - min(near) + margin)
    return found


@pytest.fixture(scope="session")
def some(batch):
    """Unit rows of a few classes, their labels, and a random domain of each."""

    def make(seed, **options):
        rows, labels = batch(seed=seed, **options)
        generator = torch.Generator().manual_seed(seed)
        return rows, labels, torch.randint(0, 2, labels.shape, generator=generator)

    return make


# ---- worked values


@pytest.mark.parametrize(
    ("part", "value"), [("within", 1.0), ("across", 1.75), ("hybrid", 2.125), ("all", 1.625)]
)
def test_hinges_on_a_line_worked_out_by_hand(part, value):
    assert mathm_hinges(LINE, LABELS, DOMAIN, part=part, margin=1.0).item() == pytest.approx(value, abs=1e-12)


def test_farthest_and_nearest_on_a_line():
    found = hinges_of(LINE, LABELS, DOMAIN, 0.0)
    far = {"own": (1, 1, 2, 2, 3, 3, 4, 4), "other": (4, 3, 4, 2, 3, 6, 2, 6)}
    near = {"own": (3, 2, 1, 3, 5, 2, 1, 5), "other": (5, 4, 1, 1, 2, 1, 4, 8)}
    for part, one, other in (
        ("within", "own", "own"),
        ("across", "other", "other"),
        ("hybrid", "other", "own"),
    ):
        wanted = [a - b for a, b in zip(far[one], near[other], strict=True)]
        assert found[part].tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("within", 0.0997003809),
        ("across", 0.3217482048),
        ("hybrid", 0.1474621046),
        ("all", 0.1896368968),
    ],
)
def test_hinges_on_a_circle(part, value):
    assert mathm_hinges(CIRCLE, LABELS, DOMAIN, part=part).item() == pytest.approx(value, abs=1e-10)


def test_the_loss_on_a_circle():
    found = mathm(CIRCLE, LABELS, DOMAIN)
    soft = {"within": 0.1004210868, "hybrid": 0.1595834165, "across": 0.3224436755}
    weight = {"within": 1.6299933695, "hybrid": 0.8799027394, "across": 0.7999927509}
    wanted = {part: weight[part] * soft[part] / 3 for part in PARTS}
    assert {part: value.item() for part, value in found.items()} == pytest.approx(wanted, abs=1e-10)
    assert total(found).item() == pytest.approx(0.1873520647, abs=1e-10)


def test_the_released_loss_on_a_circle():
    assert total(mathm(CIRCLE, LABELS, DOMAIN, released=True)).item() == pytest.approx(
        0.6426129129, abs=1e-10
    )


# ---- plain loops and another library


@few
@seeds
@pytest.mark.parametrize("released", [False, True])
def test_it_equals_plain_loops(some, released, seed):
    rows, labels, domain = some(seed)
    loops = by_loops(rows, labels, domain, 0.2)
    divisors = {part: len(rows) if released else len(gaps) for part, gaps in loops.items()}
    soft = {
        p: sum(math.log1p(math.exp(20 * g)) / 20 for g in loops[p]) / divisors[p]
        for p in PARTS
        if divisors[p]
    }
    moves = {p: sum(1 / (1 + math.exp(-20 * g)) for g in loops[p]) / divisors[p] for p in soft}
    mean = sum(moves.values()) / len(moves)
    weights = {p: mean / max(moves[p], 0.1) for p in soft}
    if released:
        weights = dict.fromkeys(soft, sum(weights.values()))
    wanted = {p: weights[p] * soft[p] / len(soft) for p in soft}
    found = mathm(rows, labels, domain, released=released)
    assert {part: value.item() for part, value in found.items()} == pytest.approx(wanted, abs=1e-9)
    hinges = [max(0.0, gap) for gaps in loops.values() for gap in gaps]
    assert mathm_hinges(rows, labels, domain).item() == pytest.approx(sum(hinges) / len(hinges), abs=1e-9)


@few
@seeds
def test_within_a_domain_it_is_batch_hard_mining_of_each_domain(some, seed):
    rows, labels, domain = some(seed, per_class=6)
    sums, count = 0.0, 0
    for own in (domain == 0, domain == 1):
        mined = BatchHardMiner()(rows[own], labels[own])
        if len(mined[0]):
            plain = TripletMarginLoss(margin=0.2)
            distances = plain.distance(rows[own])
            gaps = distances[mined[0], mined[1]] - distances[mined[0], mined[2]] + 0.2
            # Ours has the anchors besides that are alone in class and domain.
            alone = torch.bincount(labels[own], minlength=4)[labels[own]] == 1
            nearest = torch.where(labels[own][:, None] != labels[own], distances, torch.inf).amin(dim=1)
            gaps = torch.cat([gaps, (0.2 - nearest)[alone & nearest.isfinite()] + 1e-6])
            sums, count = sums + gaps.relu().sum().item(), count + len(gaps)
    found = mathm_hinges(rows, labels, domain, part="within")
    assert found.item() == pytest.approx(sums / count, abs=2e-6)


# ---- properties


@few
@seeds
@pytest.mark.parametrize("released", [False, True])
def test_the_domains_may_change_names(some, released, seed):
    rows, labels, domain = some(seed)
    swapped = total(mathm(rows, labels, 1 - domain, released=released))
    assert swapped.item() == pytest.approx(
        total(mathm(rows, labels, domain, released=released)).item(), abs=1e-12
    )


@few
@seeds
def test_with_one_domain_only_pairs_within_count_and_they_are_batch_hard(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    found = mathm(rows, labels, torch.zeros_like(labels))
    assert found.keys() == {"within"}
    similarity, positives, negatives = pairs(rows, labels)
    a, p, n = batch_hard(similarity, positives, negatives, 1.0).indices
    gaps = (rows[a] - rows[p]).norm(dim=1) - (rows[a] - rows[n]).norm(dim=1) + 0.2
    moves = torch.sigmoid(20 * gaps).mean()
    wanted = moves / moves.clamp(min=0.1) * torch.nn.functional.softplus(20 * gaps).mean() / 20
    assert found["within"].item() == pytest.approx(float(wanted), abs=1e-9)


def test_parts_that_move_alike_weigh_alike():
    # Two classes, each domain a copy of the other: every part has the same hinges.
    rows = torch.tensor([[0.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    found = mathm(rows, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]), margin=1.0)
    soft = math.log(2) / 20  # every hinge is 0 - 1 + 1
    assert [value.item() for value in found.values()] == pytest.approx([soft / 3] * 3, rel=1e-4)


def test_no_gradient_goes_through_the_weights_but_in_the_released_form():
    def gradient(released, held):
        rows = CIRCLE.clone().requires_grad_()
        loss = total(mathm(rows, LABELS, DOMAIN, released=released))
        if held is not None:
            gaps = hinges_of(rows, LABELS, DOMAIN, 0.2)
            soft = [torch.nn.functional.softplus(20 * gap).mean() / 20 for gap in gaps.values()]
            loss = sum(w * s for w, s in zip(held, soft, strict=True)) / 3
        loss.backward()
        return rows.grad

    moves = [torch.sigmoid(20 * gap).mean() for gap in hinges_of(CIRCLE, LABELS, DOMAIN, 0.2).values()]
    weights = [float(sum(moves) / 3 / max(move, 0.1)) for move in moves]
    assert torch.allclose(gradient(False, None), gradient(False, weights), atol=1e-12)
    doubled = gradient(False, [2 * weight for weight in weights])
    assert torch.allclose(doubled, 2 * gradient(False, None), atol=1e-12)
    assert not torch.allclose(gradient(True, None), gradient(True, [sum(weights)] * 3), atol=1e-3)


@few
@seeds
def test_the_released_form_and_plain_hinges_have_the_gradient_of_their_value(some, seed):
    rows, labels, domain = some(seed)
    rows = (rows + 0.01).requires_grad_()  # no ties of hardest rows
    assert torch.autograd.gradcheck(lambda r: total(mathm(r, labels, domain, released=True)), rows)
    assert torch.autograd.gradcheck(lambda r: mathm_hinges(r, labels, domain, margin=0.7123), rows)


@few
@seeds
def test_a_sharp_softplus_is_the_plain_hinge(some, seed):
    rows, labels, domain = some(seed)
    gaps = hinges_of(rows, labels, domain, 0.2)
    for part, gap in gaps.items():
        counted = gap[gap != -torch.inf]
        soft = torch.nn.functional.softplus(2000 * counted).mean() / 2000
        plain = mathm_hinges(rows, labels, domain, part=part)
        assert soft.item() == pytest.approx(plain.item(), abs=1e-3)


def test_a_part_that_hardly_moves_is_amplified_up_to_a_bound():
    # Within the domains the classes are far apart, across they are mixed up.
    rows = torch.tensor([[0.0], [10.0], [10.0], [0.0]], dtype=torch.float64).repeat_interleave(2, dim=0)
    labels, domain = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    gaps = hinges_of(rows, labels, domain, 0.2)
    assert float(gaps["within"].max()) < 0 < float(gaps["across"].min())
    found = mathm(rows, labels, domain)
    soft = float(torch.nn.functional.softplus(20 * gaps["across"]).mean() / 20)
    across = float(torch.sigmoid(20 * gaps["across"]).mean())
    hybrid = float(torch.sigmoid(20 * gaps["hybrid"]).mean())
    assert found["across"].item() == pytest.approx((across + hybrid) / 3 / across * soft / 3, abs=1e-9)


@pytest.mark.parametrize("loss", [mathm, mathm_hinges, lambda *given: mathm(*given, released=True)])
def test_nothing_counts_without_another_class(loss):
    assert loss(CIRCLE[:4], LABELS[:4], DOMAIN[:4]) is None
    assert loss(CIRCLE[:1], LABELS[:1], DOMAIN[:1]) is None


def test_a_part_without_partners_is_left_out_and_so_is_its_share():
    # Both classes have one domain each: what an anchor has in the other domain is never of its own class.
    keep = torch.tensor([0, 1, 6, 7])
    rows, labels, domain = CIRCLE[keep], LABELS[keep], DOMAIN[keep]
    loops = by_loops(rows, labels, domain, 0.2)
    assert [len(loops[part]) for part in PARTS] == [0, 0, 0]
    assert mathm(rows, labels, domain) is None
    # One more of the first class in the second domain: it has a positive and a negative there, its like none.
    keep = torch.tensor([0, 1, 2, 6, 7])
    rows, labels, domain = CIRCLE[keep], LABELS[keep], DOMAIN[keep]
    assert [len(by_loops(rows, labels, domain, 0.2)[part]) for part in PARTS] == [3, 2, 1]
    assert mathm(rows, labels, domain).keys() == {*PARTS}


@pytest.mark.parametrize("loss", [mathm, mathm_hinges])
def test_nothing_counts_while_it_warms_up(loss):
    assert loss(CIRCLE, LABELS, DOMAIN, progress=0.0) is not None
    assert loss(CIRCLE, LABELS, DOMAIN, progress=0.19, warm_up=0.2) is None
    assert loss(CIRCLE, LABELS, DOMAIN, progress=0.2, warm_up=0.2) is not None
