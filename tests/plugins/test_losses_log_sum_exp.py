import pytest
import torch
from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


@pytest.fixture
def logits():
    return 20 * torch.randn(7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask(logits):
    return torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) < 0.5


@pytest.mark.parametrize("dim", [0, 1])
def test_value_and_gradient_equal_torch_logsumexp(logits, mask, dim):
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    found, expected = log_sum_exp(ours, mask, dim), theirs.masked_fill(~mask, -torch.inf).logsumexp(dim)
    weight = torch.arange(1.0, 1 + len(found)).double()
    gradients = torch.autograd.grad(found, ours, weight)[0], torch.autograd.grad(expected, theirs, weight)[0]
    assert torch.allclose(found, expected, rtol=1e-12)
    assert torch.allclose(*gradients, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dim", [0, 1])
def test_gradients_agree_with_finite_differences(logits, mask, dim):
    assert torch.autograd.gradcheck(lambda x: log_sum_exp(x, mask, dim), logits.requires_grad_())


def test_an_empty_sum_is_almost_nothing_and_has_a_gradient_of_zero():
    logits = torch.tensor([[0.5, 1.0]], requires_grad=True)
    value = log_sum_exp(logits, torch.zeros(1, 2, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(torch.nn.functional.softplus(value + 5).sum(), logits)
    assert value.item() == pytest.approx(-1e9)
    assert gradient.tolist() == [[0, 0]]


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_large_logits_neither_overflow_nor_lose_digits(logits, mask, size):
    exact = (size * logits).masked_fill(~mask, -torch.inf).logsumexp(dim=1)
    found = log_sum_exp((size * logits).float(), mask)
    assert torch.allclose(found.double(), exact, rtol=2e-7)


def test_nan_is_shown(logits, mask):
    mask[2, 3], logits[2, 3] = True, torch.nan
    assert log_sum_exp(logits, mask).isnan().tolist() == [False, False, True, False, False, False, False]
