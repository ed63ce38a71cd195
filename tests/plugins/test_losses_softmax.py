import math

import pytest
import torch
from dmlbench_plugins.losses.softmax import Softmax, SoftmaxFeatures
from torch.nn import functional

from dmlbench.api import UsageError


def plain(logits, labels, smoothing):
    """Cross-entropy with 1 - s on the class and s / (C - 1) on each other one, in loops."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        everybody = math.log(sum(math.exp(x) for x in row))
        for c, x in enumerate(row):
            target = 1 - smoothing if c == label else smoothing / (len(row) - 1)
            total += target * (everybody - x)
    return total / len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.15, 0.75])
def test_the_loss_equals_a_plain_loop(batch, smoothing):
    rows, labels = batch(classes=4, dim=6)
    loss = Softmax(4, 6, smoothing=smoothing).double()
    logits = loss.classifier.linear(rows)
    assert loss(rows, labels).item() == pytest.approx(plain(logits, labels, smoothing), rel=1e-12)


def test_without_smoothing_it_is_cross_entropy_bit_for_bit(batch):
    rows, labels = batch(classes=4, dim=6)
    loss = Softmax(4, 6).double()
    assert torch.equal(loss(rows, labels), functional.cross_entropy(loss.classifier.linear(rows), labels))


def test_that_of_features_leaves_synthetic_rows_out(batch):
    rows, labels = batch(classes=4, per_class=3, dim=6)
    loss = SoftmaxFeatures(4, 6, smoothing=0.1).double()
    grown = torch.cat([labels, labels.flip(0)])
    found = loss(rows, grown, torch.arange(24) >= 12)
    assert torch.equal(found, loss.classifier(rows, labels))


@pytest.mark.parametrize("smoothing", [-0.1, 0.76])
def test_a_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(UsageError, match=r"smoothing = "):
        Softmax(4, 6, smoothing=smoothing)
