import pytest
import torch
from dmlbench_plugins.losses.norm_penalty import norm_penalty

ANCHORS = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
POSITIVES = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [2.0, 1.0, 1.0]], dtype=torch.float64)


def test_squared_lengths_nine_and_twelve_over_six_rows():
    assert norm_penalty(torch.cat([ANCHORS, POSITIVES])).item() == pytest.approx(3.5, abs=1e-12)


def test_a_weight_of_one_hundredth_is_a_reg_lambda_of_two_hundredths():
    """tf.contrib: 0.25 * reg_lambda * (mean |f|^2 + mean |g|^2), at 0.02."""
    theirs = 0.25 * 0.02 * (ANCHORS.square().sum(dim=1).mean() + POSITIVES.square().sum(dim=1).mean())
    assert theirs.item() == pytest.approx(0.035, abs=1e-12)
    assert 0.01 * norm_penalty(torch.cat([ANCHORS, POSITIVES])).item() == pytest.approx(0.035, abs=1e-12)


def test_gradients_agree_with_finite_differences():
    assert torch.autograd.gradcheck(norm_penalty, ANCHORS.clone().requires_grad_())
