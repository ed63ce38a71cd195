import math

import pytest
import torch
from dmlbench_plugins.backbones.poincare import PoincareHead, ball_distance, check_ball, to_ball
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError, score

from . import reference_hier as reference

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

TANGENTS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0], [-1.0, 0.0]], dtype=torch.float64)


def mapped(tangent, c=0.1, clip=2.3, riemannian=False):
    return to_ball(tangent, c, clip, riemannian=riemannian)


def rows(count, dim=4, scale=1.0, seed=0):
    return scale * torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_known_points_and_distances():
    points = mapped(TANGENTS)
    assert points[0].tolist() == pytest.approx([0.967948134, 0], abs=1e-9)
    assert points[2].tolist() == pytest.approx([1.179070074, 1.572093433], abs=1e-9)
    assert points[2].norm().item() == pytest.approx(1.965116791, abs=1e-9)
    d = ball_distance(points, points, 0.1)
    found = [d[i, j].item() for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (2, 3))]
    assert found == pytest.approx([2.916343346, 3.984460588, 4.0, 3.388079920, 6.129698850], abs=1e-9)


def test_a_point_is_twice_its_tangent_vectors_length_from_the_origin():
    origin = torch.zeros(1, 2, dtype=torch.float64)
    found = ball_distance(origin, mapped(TANGENTS), 0.1)[0].tolist()
    assert found == pytest.approx([2, 2, 4.5999908, 2], abs=1e-7)


def test_without_curvature_left_distances_are_euclidean():
    points = mapped(TANGENTS[:2], c=1e-6)
    assert ball_distance(points, points, 1e-6)[0, 1].item() == pytest.approx(2.8284281, abs=1e-7)


def test_curvature_zero_is_the_sphere():
    x, y = mapped(rows(5), c=0.0), mapped(rows(7, seed=1), c=0.0)
    assert torch.allclose(x.norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(ball_distance(x, y, 0.0), 2 - 2 * x @ y.T)


@few
@seeds
@pytest.mark.parametrize("c", [0.01, 0.1, 1.0])
def test_it_equals_a_plain_loop_of_moebius_additions(c, seed):
    u, v = rows(4, scale=0.8, seed=seed), rows(3, scale=2.0, seed=seed + 1)
    x, y = mapped(u, c), mapped(v, c)
    plain_x, plain_y = ([reference.to_ball(w, c, 2.3) for w in part.tolist()] for part in (u, v))
    assert torch.allclose(x, torch.tensor(plain_x, dtype=torch.float64), atol=1e-12)
    expected = [[reference.ball_distance(p, q, c) for q in plain_y] for p in plain_x]
    assert torch.allclose(ball_distance(x, y, c), torch.tensor(expected, dtype=torch.float64), rtol=1e-8)


@few
@seeds
def test_it_is_a_distance(seed):
    points = mapped(rows(8, scale=1.5, seed=seed))
    d = ball_distance(points, points, 0.1)
    assert torch.allclose(d, d.T)
    assert d.diagonal().max() < 1e-5
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-9).all()


def test_identical_points_have_a_finite_gradient_in_single_precision():
    tangent = torch.zeros(3, 4)
    tangent[1:] = torch.tensor([0.3, 0.1, 2.0, 9.0])
    tangent.requires_grad_()
    points = mapped(tangent)
    ball_distance(points, points, 0.1).sum().backward()
    assert tangent.grad.isfinite().all()


def test_the_riemannian_factor():
    gradients = []
    tangent = torch.cat([TANGENTS, torch.zeros(1, 2, dtype=torch.float64)]).requires_grad_()
    for riemannian in (True, False):
        points = mapped(tangent, riemannian=riemannian)
        gradients.append(torch.autograd.grad(points.sum(), tangent)[0].sum(dim=1))
    ratio = (gradients[0] / gradients[1]).tolist()
    assert ratio == pytest.approx([0.205348385, 0.205348385, 0.094197308, 0.205348385, 0.25], abs=1e-9)


def test_gradients_agree_with_finite_differences():
    def distances(u, v):
        return ball_distance(mapped(u), mapped(v), 0.1)

    inputs = rows(4, scale=0.7).requires_grad_(), rows(3, scale=2.0, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(distances, inputs)


# ---- the head


def test_the_head_starts_orthogonal_behind_a_norm_without_weights():
    torch.manual_seed(0)
    head = PoincareHead(16, 8)
    assert torch.allclose(head.linear.weight @ head.linear.weight.T, torch.eye(8), atol=1e-5)
    assert [name for name, _ in head.named_parameters()] == ["linear.weight", "linear.bias"]
    features = torch.randn(5, 16)
    assert torch.allclose(head(features), head(3 * features + 2), atol=1e-4)


def test_the_scorer_ranks_by_the_balls_own_distance():
    torch.manual_seed(0)
    head = PoincareHead(4, 3)
    raw = rows(30, dim=3).float()
    labels = torch.arange(30) // 5
    shown = head.views(raw)["ball"]
    assert shown.norm(dim=1).max() < 1
    found = score(shown, labels, metrics=["recall_at_1", "map_at_r"], distance="poincare").metrics
    d = ball_distance(mapped(raw), mapped(raw), 0.1).fill_diagonal_(math.inf)
    assert found["recall_at_1"] == pytest.approx((labels[d.argmin(dim=1)] == labels).float().mean().item())


@pytest.mark.parametrize(("curvature", "clip"), [(-0.1, 2.3), (0.1, 0.0), (0.1, 13.0), (4.0, 2.3)])
def test_a_ball_whose_edge_is_within_reach_is_refused(curvature, clip):
    with pytest.raises(UsageError):
        check_ball(curvature, clip)


def test_a_head_without_curvature_is_refused():
    with pytest.raises(UsageError, match="curvature"):
        PoincareHead(4, 3, curvature=0.0)
