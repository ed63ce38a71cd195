import itertools
import math

import pytest
import torch
from dmlbench_plugins.losses import rkd
from dmlbench_plugins.losses.rkd import rkd_angle, rkd_distance
from hypothesis import given, settings
from hypothesis import strategies as st

from .counting import Work

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
both = pytest.mark.parametrize("loss", [rkd_distance, rkd_angle])

TEACHER = torch.tensor([(0, 0), (3, 0), (0, 4)], dtype=torch.float64)
LINE = torch.tensor([[0], [1], [3]], dtype=torch.float64)
PLANE = torch.tensor([(0, 0), (1, 0), (3, 1)], dtype=torch.float64)


def some_rows(rows, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dim, generator=generator, dtype=torch.float64)


def gradient(loss, student, teacher):
    student = student.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(student, teacher), student)
    return found


def huber(a, b):
    return 0.5 * (a - b) ** 2 if abs(a - b) <= 1 else abs(a - b) - 0.5


def plain_distance(student, teacher):
    def relative(rows):
        apart = [[math.dist(a, b) for b in rows] for a in rows]
        mean = sum(map(sum, apart)) / (len(rows) * (len(rows) - 1))
        return [d / mean for line in apart for d in line]

    costs = [huber(a, b) for a, b in zip(relative(student), relative(teacher), strict=True)]
    return sum(costs) / len(student) ** 2


def plain_angle(student, teacher):
    def angle(rows, i, j, k):
        one, two = ([p - q for p, q in zip(rows[end], rows[j], strict=True)] for end in (i, k))
        lengths = math.hypot(*one) * math.hypot(*two)
        return sum(p * q for p, q in zip(one, two, strict=True)) / lengths if lengths else 0.0

    triples = itertools.product(range(len(student)), repeat=3)
    return sum(huber(angle(student, *t), angle(teacher, *t)) for t in triples) / len(student) ** 3


def test_a_student_on_a_line_worked_out_by_hand():
    # Relative distances (0.5, 1.5, 1) against (0.75, 1, 1.25); all nine pairs count.
    assert rkd_distance(LINE, TEACHER).item() == pytest.approx(0.0416666667, abs=1e-10)
    assert rkd_angle(LINE, TEACHER).item() == pytest.approx(0.12, abs=1e-10)


def test_no_student_on_a_line_keeps_these_distances_better():
    assert gradient(rkd_distance, LINE, TEACHER).abs().max() < 1e-12


def test_a_student_in_the_plane_and_its_gradient():
    assert rkd_distance(PLANE, TEACHER).item() == pytest.approx(0.0391849893, abs=1e-10)
    assert rkd_angle(PLANE, TEACHER).item() == pytest.approx(0.1083309330, abs=1e-10)
    expected = torch.tensor(
        [(0.0067929152, -0.0118127188), (-0.0118726251, 0.0151792233), (0.0050797099, -0.0033665045)],
        dtype=torch.float64,
    )
    torch.testing.assert_close(gradient(rkd_distance, PLANE, TEACHER), expected, atol=1e-9, rtol=0)


@few
@seeds
def test_both_equal_plain_loops(seed):
    student, teacher = some_rows(7, 2, seed), some_rows(7, 5, seed + 10_000)
    teacher[3] = teacher[4]
    lists = student.tolist(), teacher.tolist()
    assert rkd_distance(student, teacher).item() == pytest.approx(plain_distance(*lists), rel=1e-10)
    assert rkd_angle(student, teacher).item() == pytest.approx(plain_angle(*lists), rel=1e-10)


@both
def test_a_moved_turned_and_scaled_teacher_costs_nothing(loss):
    teacher = some_rows(9, 4, seed=1)
    turn, _ = torch.linalg.qr(some_rows(4, 4, seed=2))
    assert loss(3.7 * teacher @ turn + 5.0, teacher).item() < 1e-28


@both
def test_gradients_move_neither_the_mean_nor_the_scale(loss):
    student = some_rows(9, 3, seed=3)
    found = gradient(loss, student, some_rows(9, 4, seed=4))
    assert found.norm() > 1e-3
    assert found.sum(dim=0).abs().max() < 1e-14
    assert abs((found * student).sum()) < 1e-14


@both
def test_gradients_agree_with_finite_differences_and_none_reaches_the_teacher(loss):
    student, teacher = some_rows(6, 3, seed=5).requires_grad_(), some_rows(6, 4, seed=6).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))
    assert torch.autograd.grad(loss(student, teacher), teacher, allow_unused=True) == (None,)


@both
def test_the_order_of_rows_changes_nothing(loss):
    student, teacher = some_rows(8, 3, seed=7), some_rows(8, 4, seed=8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    assert loss(student[order], teacher[order]).item() == pytest.approx(loss(student, teacher).item())


@both
@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-7])
def test_gradients_in_float32_stay_small_where_two_students_meet_and_their_teachers_do_not(loss, apart):
    student, teacher = some_rows(8, 4, seed=9).float(), some_rows(8, 4, seed=10).float()
    student[1] = student[0] = torch.zeros(4)
    student[1, 0] = apart
    found = gradient(loss, student, teacher)
    assert found.isfinite().all()
    assert 1e-4 < found.norm() < 1


def test_triples_with_a_side_of_two_students_that_meet_cost_nothing():
    student, teacher = some_rows(5, 3, seed=11), some_rows(5, 3, seed=12)
    student[1] = student[0]
    # Sides 0-1 have no direction: the teacher's count for nothing there, wherever its rows 0 and 1 lie.
    met = [[i == j or {i, j} == {0, 1} for j in range(5)] for i in range(5)]

    def angle(rows, i, j, k):
        one, two = rows[i] - rows[j], rows[k] - rows[j]
        return (one @ two / (one.norm() * two.norm())).item()

    triples = [t for t in itertools.product(range(5), repeat=3) if not (met[t[0]][t[1]] or met[t[2]][t[1]])]
    cost = sum(huber(angle(student, *t), angle(teacher, *t)) for t in triples) / 125
    assert rkd_angle(student, teacher).item() == pytest.approx(cost, rel=1e-10)


@both
def test_students_that_all_meet_cost_something_finite_and_stand_still(loss):
    student = torch.ones(5, 3)
    assert loss(student, some_rows(5, 3, seed=13).float()).isfinite()
    assert torch.equal(gradient(loss, student, some_rows(5, 3, seed=13).float()), torch.zeros(5, 3))


@both
def test_a_single_row_has_no_relations(loss):
    assert loss(torch.ones(1, 3), torch.ones(1, 4)) is None


def test_the_size_of_a_block_changes_nothing(monkeypatch):
    student, teacher = some_rows(8, 3, seed=14), some_rows(8, 4, seed=15)
    whole, slope = rkd_angle(student, teacher), gradient(rkd_angle, student, teacher)
    monkeypatch.setattr(rkd, "_MIDDLES", 3)
    assert rkd_angle(student, teacher).item() == pytest.approx(whole.item(), rel=1e-12)
    torch.testing.assert_close(gradient(rkd_angle, student, teacher), slope, rtol=1e-10, atol=1e-14)


@both
def test_no_tensor_grows_with_the_cube_of_the_rows_and_no_angles_are_kept(loss):
    student, teacher = some_rows(40, 4, seed=16).requires_grad_(), some_rows(40, 4, seed=17)
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with Work() as work:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            value = loss(student, teacher)
        value.backward()
    assert work.elements <= 16 * 40 * 40
    assert sum(kept) < 6 * 40 * 40
