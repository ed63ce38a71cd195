import pytest
import torch
from dmlbench_plugins.losses.feature_matching import FeatureMatching

ROWS = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
TEACHER = torch.tensor([[1.0, 0.0, 2.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


@pytest.fixture
def loss():
    """W = [[1, 0], [0, 1], [1, 1]], b = (0, 1, 0)."""
    made = FeatureMatching(2, 3).double()
    with torch.no_grad():
        made.linear.weight.copy_(torch.tensor([[1, 0], [0, 1], [1, 1]]))
        made.linear.bias.copy_(torch.tensor([0, 1, 0]))
    return made


def test_three_rows_worked_out_by_hand(loss):
    # W s + b: (1, 3, 3), (0, 0, -1), (3, 2, 4); squared distances 10, 6 and 22.
    assert loss(ROWS, TEACHER).item() == pytest.approx(38 / 2 / 3, abs=1e-12)


def test_it_equals_a_plain_loop(loss):
    weight, bias = loss.linear.weight.tolist(), loss.linear.bias.tolist()
    total = 0.0
    for s, t in zip(ROWS.tolist(), TEACHER.tolist(), strict=True):
        for line, offset, target in zip(weight, bias, t, strict=True):
            total += (sum(w * x for w, x in zip(line, s, strict=True)) + offset - target) ** 2
    assert loss(ROWS, TEACHER).item() == pytest.approx(total / 2 / 3, rel=1e-12)


def test_a_teacher_that_is_a_linear_map_of_the_student_costs_nothing(loss):
    assert loss(ROWS, loss.linear(ROWS)).item() == 0


def test_gradients_agree_with_finite_differences_and_none_reaches_the_teacher(loss):
    rows, teacher = ROWS.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    inputs = (rows, loss.linear.weight, loss.linear.bias)
    assert torch.autograd.gradcheck(lambda *_: loss(rows, teacher), inputs)
    assert torch.autograd.grad(loss(rows, teacher), teacher, allow_unused=True) == (None,)
