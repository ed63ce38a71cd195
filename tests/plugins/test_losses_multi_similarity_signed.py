import math

import pytest
import torch
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from dmlbench_plugins.losses.multi_similarity_signed import multi_similarity_signed
from dmlbench_plugins.losses.proxy_anchor import proxy_anchor
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultiSimilarityLoss

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

ROWS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1, 1])
MINUS = {"negative_margin_sign": -1}


def by_loops(similarity, positives, negatives, gamma, beta, sigma, sign):
    total = 0.0
    for s, p, n in zip(similarity.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        pull = sum(math.exp(-gamma * (x - sigma)) for x, yes in zip(s, p, strict=True) if yes)
        push = sum(math.exp(beta * (x + sign * sigma)) for x, yes in zip(s, n, strict=True) if yes)
        total += math.log1p(pull) / gamma + math.log1p(push) / beta
    return total / len(similarity)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 1.7565076262), (MINUS, 0.4565076262), ({**MINUS, "sigma": 0.5}, 0.2688111287)],
)
def test_known_values(pairs, options, expected):
    found = multi_similarity_signed(*pairs(ROWS, LABELS), **options).item()
    assert found == pytest.approx(expected, rel=0, abs=1e-10)


@pytest.mark.parametrize("base", [1.0, 0.5])
def test_with_the_minus_it_is_the_loss_of_others(pairs, base):
    found = multi_similarity_signed(*pairs(ROWS, LABELS), sigma=base, **MINUS).item()
    theirs = MultiSimilarityLoss(alpha=2, beta=50, base=base)
    assert found == pytest.approx(theirs(ROWS, LABELS).item(), abs=1e-10)
    ours = multi_similarity(*pairs(ROWS, LABELS), beta=50.0, base=base, epsilon=None)
    assert found == pytest.approx(ours.item(), abs=1e-12)


@pytest.mark.parametrize(("options", "expected"), [({}, 2.1411069263), (MINUS, 0.8411069264)])
def test_known_sums_with_proxies(pairs, options, expected):
    proxies = torch.eye(2, dtype=torch.float64)
    anchor = proxy_anchor(ROWS @ proxies.T, LABELS, alpha=32.0, margin=0.1).item()
    assert anchor == pytest.approx(12.8199766714, abs=1e-9)
    found = multi_similarity_signed(*pairs(ROWS, LABELS), **options).item() + 0.03 * anchor
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("sign", "expected"), [(1, 1 / 4), (-1, 0.0)])
def test_what_an_anchors_negatives_weigh_together(pairs, sign, expected):
    similarity, positives, negatives = pairs(ROWS, LABELS)
    similarity = similarity.clone().requires_grad_()
    multi_similarity_signed(similarity, positives, negatives, negative_margin_sign=sign).backward()
    weighed = (similarity.grad * negatives).sum(dim=1)
    assert weighed.tolist() == pytest.approx([expected] * 4, abs=1e-9)


@few
@seeds
@pytest.mark.parametrize("sign", [1, -1])
def test_it_equals_a_plain_loop(batch, pairs, sign, seed):
    seen = pairs(*batch(seed=seed))
    found = multi_similarity_signed(*seen, gamma=1.5, beta=20.0, sigma=0.6, negative_margin_sign=sign)
    assert found.item() == pytest.approx(by_loops(*seen, 1.5, 20.0, 0.6, sign), rel=1e-10)


@pytest.mark.parametrize("sign", [1, -1])
def test_gradients_agree_with_finite_differences(batch, pairs, sign):
    similarity, positives, negatives = pairs(*batch(seed=1))
    assert torch.autograd.gradcheck(
        lambda s: multi_similarity_signed(s, positives, negatives, beta=10.0, negative_margin_sign=sign),
        (similarity.clone().requires_grad_(),),
    )


def test_one_kind_of_pairs_counts_without_the_other(pairs):
    similarity, positives, negatives = pairs(ROWS, torch.zeros(4).long())
    assert multi_similarity_signed(similarity, positives, negatives) > 0
    assert multi_similarity_signed(similarity, negatives, positives) > 0
    assert multi_similarity_signed(similarity, negatives, negatives) is None
