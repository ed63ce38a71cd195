import pytest
import torch
from dmlbench_plugins.losses.contrastive import contrastive
from dmlbench_plugins.losses.variance_constraint import variance_constraint
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


@pytest.fixture(scope="session")
def first_anchor(pairs):
    """Points of the unit circle at 0, 30, 50 and 90 degrees, two of each class, as the first sees them."""
    angle = torch.tensor([0.0, 30.0, 50.0, 90.0], dtype=torch.float64).deg2rad()
    data = pairs(torch.stack([angle.cos(), angle.sin()], dim=1), torch.tensor([0, 0, 1, 1]))
    return [part[:1] for part in data]


@pytest.mark.parametrize(
    ("mix", "value", "gradient"),
    [
        (0.2, 0.2303178419, [0.087141056, 0.599217082, -0.686358138]),
        (0.0, 0.642787610**2 / 2, [0.0, 0.642787610, -0.642787610]),
    ],
)
def test_one_anchor_and_its_gradient(first_anchor, mix, value, gradient):
    similarity, positives, negatives = first_anchor
    leaf = similarity.clone().requires_grad_()
    found = variance_constraint(leaf, positives, negatives, mix=mix)
    assert found.item() == pytest.approx(value, abs=1e-9)
    assert torch.autograd.grad(found, leaf)[0][0, 1:].tolist() == pytest.approx(gradient, abs=1e-8)


@few
@seeds
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_it_equals_a_plain_loop(batch, pairs, reduction, seed):
    data = pairs(*batch(seed=seed))
    values = [
        reference_pairs.spread_of_negatives(s, p, n, 0.2) / (1 if reduction == "sum" else sum(n))
        for s, p, n in zip(*(part.tolist() for part in data), strict=True)
    ]
    found = variance_constraint(*data, reduction=reduction).item()
    assert found == pytest.approx(sum(values) / len(values), rel=1e-10)


@few
@seeds
def test_it_is_the_variance_of_the_negatives_and_the_distance_of_the_means(batch, pairs, seed):
    similarity, positives, negatives = pairs(*batch(seed=seed))
    pull, push = similarity[positives].view(12, 2), similarity[negatives].view(12, 9)
    spread = 9 * push.var(dim=1, correction=0)
    shift = 9 * 0.2**2 * (pull.mean(dim=1) - push.mean(dim=1)).square()
    value = variance_constraint(similarity, positives, negatives).item()
    assert value == pytest.approx((spread + shift).mean().item(), rel=1e-10)


@pytest.mark.parametrize("epsilon", [0.1, None])
def test_gradients_agree_with_finite_differences(batch, pairs, epsilon):
    rows, labels = batch(seed=1)
    raw = (1.7 * rows).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: variance_constraint(*pairs(functional.normalize(x, dim=1), labels), epsilon=epsilon), raw
    )


def test_anchors_without_both_kinds_count_nothing_and_have_a_finite_gradient(four, pairs):
    rows = four[0].clone().requires_grad_()
    data = pairs(rows, torch.tensor([0, 0, 1, 2]))
    value = variance_constraint(*data)
    two = [part[:2] for part in data]
    assert value.item() == pytest.approx(variance_constraint(*two).item() / 2, rel=1e-12)
    assert torch.autograd.grad(value, rows)[0].isfinite().all()


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_gives_nothing(four, pairs, labels):
    assert variance_constraint(*pairs(four[0], torch.tensor(labels))) is None


def test_beside_another_loss_it_evens_out_the_negatives(batch, pairs):
    """What it is for: the same loss, with the constraint, ends with negatives nearer to each other."""

    def spread(weight):
        rows, labels = batch(classes=6, per_class=4, dim=8, seed=2)
        raw = rows.clone().requires_grad_()
        optimiser = torch.optim.SGD([raw], lr=0.1)
        for _ in range(200):
            data = pairs(functional.normalize(raw, dim=1), labels)
            loss = contrastive(*data) + weight * variance_constraint(*data)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        similarity, _, negatives = pairs(functional.normalize(raw.detach(), dim=1), labels)
        return similarity[negatives].std().item()

    assert spread(0.1) < 0.6 * spread(0.0)
