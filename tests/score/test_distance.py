import math

import pytest
import torch

from dmlbench.errors import DataError
from dmlbench.score import DISTANCES, score
from dmlbench.score.distance import similarity_to, working_dtype


def similarities(queries, gallery, distance, curvature=1.0):
    out = torch.empty(len(queries), len(gallery), dtype=gallery.dtype)
    similarity_to(gallery.clone(), distance, curvature)(queries, out)
    return out


@pytest.fixture
def ball():
    """Points in the unit ball, some of them within 1e-6 of its edge."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    radius = 1 - torch.logspace(-6, -0.1, 40, dtype=torch.float64)
    return points / points.norm(dim=1, keepdim=True) * radius[torch.randperm(40, generator=generator), None]


@pytest.mark.parametrize("curvature", [0.1, 1.0, 2.5])
def test_poincare_equals_the_closed_formula(ball, curvature):
    points = ball / math.sqrt(curvature)
    squares = (points[:, None] - points).square().sum(dim=2)
    inside = 1 - curvature * points.square().sum(dim=1)
    wanted = torch.acosh(1 + 2 * curvature * squares / (inside[:, None] * inside)) / math.sqrt(curvature)
    found = -similarities(points, points, "poincare", curvature)
    apart = ~torch.eye(len(points), dtype=torch.bool)
    assert torch.allclose(found[apart], wanted[apart], rtol=1e-9)


def test_poincare_from_the_origin_is_known():
    points = torch.tensor([[0.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    assert -similarities(points, points, "poincare")[0, 1] == pytest.approx(2 * math.atanh(0.5))


def test_small_curvature_tends_to_twice_the_euclidean_distance(ball):
    found = similarities(ball, ball, "poincare", 1e-9)
    assert torch.allclose(found, 2 * similarities(ball, ball, "euclidean"), atol=1e-6)


def test_points_on_the_edge_of_the_ball_are_refused():
    edge, labels = torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]), torch.tensor([1, 1, 1])
    with pytest.raises(DataError, match="1 embeddings lie on or outside the ball of radius 1"):
        score(edge, labels, distance="poincare")
    with pytest.raises(DataError, match="outside the ball of radius 1"):
        score(edge, labels, gallery=edge[1:], gallery_labels=labels[1:], distance="poincare")
    score(edge, labels, distance="poincare", curvature=0.99)


def test_euclidean_equals_a_direct_sum_far_from_the_origin(clusters):
    points = clusters()[0].double() + 1000
    wanted = (points[:, None] - points).square().sum(dim=2).sqrt()
    assert torch.allclose(-similarities(points, points, "euclidean"), wanted, atol=1e-4)
    embeddings, labels = clusters()
    assert score(embeddings + 1024, labels, distance="euclidean").metrics == pytest.approx(
        score((embeddings + 1024).double() - 1024, labels, distance="euclidean").metrics, abs=1e-12
    )


def test_cosine_survives_zero_huge_and_tiny_rows():
    rows = torch.tensor([[3.0, 4.0], [3e30, 4e30], [3e-40, 4e-40], [0.0, 0.0], [-3.0, -4.0]])
    found = similarities(rows, rows, "cosine")
    assert found[0].tolist() == pytest.approx([1, 1, 1, 0, -1], abs=1e-4)
    assert found[3].tolist() == [0, 0, 0, 0, 0]


def test_arithmetic_is_float32_at_least():
    assert working_dtype("cosine", torch.bfloat16, torch.float16) == torch.float32
    assert working_dtype("cosine", torch.float32, torch.float64) == torch.float64
    assert {
        working_dtype(name, torch.float32) for name in DISTANCES if name not in ("cosine", "hamming")
    } == {torch.float64}
