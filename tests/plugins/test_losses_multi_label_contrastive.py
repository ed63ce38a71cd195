import math

import pytest
import torch
from dmlbench_plugins.losses.multi_label_contrastive import multi_label_contrastive
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from torch.nn import functional

from . import reference

few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def loss(rows, relevance, **options):
    shares = relevance.double() @ relevance.double().T > 0
    positives = shares & ~torch.eye(len(rows), dtype=torch.bool)
    return multi_label_contrastive(rows @ rows.T, positives, ~shares, relevance, relevance, **options)


def plain(rows, relevance, temperature):
    """Each label of a row is an anchor of its own."""
    f, y = rows.tolist(), relevance.tolist()
    values = []
    for i in range(len(f)):
        others = [j for j in range(len(f)) if j != i]
        logits = {j: reference.dot(f[i], f[j]) / temperature for j in others}
        whole = math.log(sum(math.exp(x) for x in logits.values())) if others else 0.0
        for c in range(len(y[i])):
            with_c = [j for j in others if y[i][c] and y[j][c]]
            if with_c:
                values.append(reference.mean([whole - logits[j] for j in with_c]))
    return reference.mean(values)


@pytest.fixture(scope="session")
def crowd():
    """Unit rows in float64, each with one or more of five labels; row 0 shares none."""

    def make(rows=12, dim=4, seed=0):
        generator = torch.Generator().manual_seed(seed)
        embeddings = functional.normalize(
            torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1
        )
        relevance = torch.rand(rows, 5, generator=generator) < 0.3
        relevance[torch.arange(rows), torch.randint(5, (rows,), generator=generator)] = True
        relevance = torch.cat([relevance, torch.zeros(rows, 1, dtype=torch.bool)], dim=1)
        relevance[0] = torch.tensor([False] * 5 + [True])
        return embeddings, relevance

    return make


def test_three_rows_worked_out_by_hand():
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    relevance = torch.tensor([[1, 1], [1, 0], [0, 1]]).bool()
    # Anchors (0, first), (0, second), (1, first), (2, second); each has one positive.
    share = math.log(math.e + 1)
    expected = ((share - 1) + share + (share - 1) + math.log(2)) / 4
    assert loss(rows, relevance, temperature=1.0).item() == pytest.approx(expected, abs=1e-12)


@few
@given(seed=st.integers(0, 9_999), temperature=st.sampled_from([0.05, 0.1, 1.0]))
def test_it_equals_a_plain_loop(crowd, seed, temperature):
    rows, relevance = crowd(seed=seed)
    found = loss(rows, relevance, temperature=temperature).item()
    assert found == pytest.approx(plain(rows, relevance, temperature), rel=1e-10)


@few
@seeds
def test_with_one_label_each_it_is_the_supervised_contrastive_loss(batch, seed):
    rows, labels = batch(seed=seed)
    expected = SupConLoss(temperature=0.1)(rows, labels).item()
    assert loss(rows, functional.one_hot(labels).bool()).item() == pytest.approx(expected, rel=1e-8)


@few
@seeds
def test_the_order_of_rows_and_labels_means_nothing(crowd, seed):
    rows, relevance = crowd(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    order, labels = torch.randperm(12, generator=generator), torch.randperm(6, generator=generator)
    shuffled = loss(rows[order], relevance[order][:, labels])
    assert shuffled.item() == pytest.approx(loss(rows, relevance).item(), rel=1e-10)


def test_rows_may_be_compared_with_others_than_themselves(crowd):
    rows, relevance = crowd(seed=5)
    # A copy of each behind them: its own copy is a positive, it itself is not.
    both, all_labels = torch.cat([rows, rows]), torch.cat([relevance, relevance])
    shares = relevance.double() @ all_labels.double().T > 0
    positives = shares & (torch.arange(24) != torch.arange(12)[:, None])
    found = multi_label_contrastive(rows @ both.T, positives, ~shares, relevance, all_labels)
    values = []
    for i in range(12):
        others = [j for j in range(24) if j != i]
        logits = {j: 10 * reference.dot(rows[i].tolist(), both[j].tolist()) for j in others}
        whole = math.log(sum(map(math.exp, logits.values())))
        for c in range(6):
            with_c = [j for j in others if relevance[i, c] and all_labels[j, c]]
            if with_c:
                values.append(reference.mean([whole - logits[j] for j in with_c]))
    assert found.item() == pytest.approx(reference.mean(values), rel=1e-10)


def test_rows_that_are_neither_positive_nor_negative_are_not_compared_with(crowd):
    rows, relevance = crowd(seed=2)
    shares = relevance.double() @ relevance.double().T > 0
    kept = torch.arange(12) != 4
    positives = shares & ~torch.eye(12, dtype=torch.bool) & kept & kept[:, None]
    negatives = ~shares & kept & kept[:, None]
    found = multi_label_contrastive(rows @ rows.T, positives, negatives, relevance, relevance)
    assert found.item() == pytest.approx(loss(rows[kept], relevance[kept]).item(), rel=1e-10)


def test_gradients_agree_with_finite_differences(crowd):
    rows, relevance = crowd(seed=1)

    def of_raw(raw):
        return loss(functional.normalize(raw, dim=1), relevance, temperature=0.3)

    assert torch.autograd.gradcheck(of_raw, (1.7 * rows).requires_grad_())


@pytest.mark.parametrize("rows", [1, 4])
def test_a_batch_in_which_nobody_shares_a_label_has_nothing_to_count(rows):
    assert loss(torch.eye(rows), torch.eye(rows, dtype=torch.bool)) is None


def test_a_batch_in_which_all_have_all_labels_has_a_finite_gradient():
    rows = torch.ones(5, 3, requires_grad=True)
    value = loss(functional.normalize(rows, dim=1), torch.ones(5, 4, dtype=torch.bool), temperature=0.05)
    value.backward()
    assert value.item() == pytest.approx(math.log(4), rel=1e-6)
    assert rows.grad.isfinite().all()
