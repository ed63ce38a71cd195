import pytest
import torch
from dmlbench_plugins.miners.distance_weighted import distance_weighted, log_inverse_density
from dmlbench_plugins.miners.random_triplets import random_triplets
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.miners import DistanceWeightedMiner
from torch.nn import functional

from . import reference_pairs

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(number, dim, seed=0):
    """Points of the sphere in single precision, as a run has them."""
    return functional.normalize(torch.randn(number, dim, generator=generator(seed)), dim=1)


def mine(data, dim, seed=0, **options):
    return distance_weighted(torch.empty(len(data[0]), dim), *data, generator(seed), **options)


def drawn(distances, dim, dtype=torch.float64, positives=20_000, also=()):
    """How often each negative of one anchor is drawn, as shares; `also`: distances of its own class."""
    distance = torch.tensor([*distances, *also, *[1.0] * positives], dtype=torch.float64)
    similarity = (1 - distance.square() / 2).to(dtype)[None]
    negative = torch.arange(len(distance))[None] < len(distances)
    found = mine((similarity, ~negative, negative), dim).indices[2]
    return (found.bincount(minlength=len(distances)) / len(found)).tolist()


# ---- the distribution

SEVEN = [0.4, 0.8, 1.0, 1.2, 1.35, 1.45, 1.8]


@pytest.mark.parametrize(
    ("dim", "distances", "expected"),
    [
        (3, SEVEN, [0.343402226, 0.214626391, 0.171701113, 0.143084261, 0.127186010, 0, 0]),
        (4, SEVEN, [0.480233723, 0.198179480, 0.134229406, 0.100908052, 0.086449339, 0, 0]),
        (8, SEVEN, [0.885452017, 0.069450458, 0.024169078, 0.012033053, 0.008895394, 0, 0]),
        (16, [0.9, 1.1, 1.2, 1.3, 1.45], [0.790056728, 0.113701956, 0.058829564, 0.037411752, 0]),
        (128, [1.30, 1.33, 1.36, 1.39, 1.45], [0.496725384, 0.246025976, 0.148037527, 0.109211112, 0]),
        (8, [0.3, 0.5, 0.8, 1.2], [0.478005814, 0.478005814, 0.037492402, 0.006495970]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_the_shares_of_negatives_by_their_distance(dim, distances, expected, dtype):
    similarity = (1 - torch.tensor(distances, dtype=torch.float64).square() / 2).to(dtype)
    log_odds = log_inverse_density(similarity, dim, 0.5).masked_fill(
        torch.tensor(distances) >= 1.4, -torch.inf
    )
    precision = 1e-9 if dtype == torch.float64 else 2e-4
    assert log_odds.softmax(dim=0).tolist() == pytest.approx(expected, abs=precision)
    assert reference_pairs.distance_odds(distances, dim, 0.5, 1.4) == pytest.approx(expected, abs=1e-9)
    shares = drawn(distances, dim, dtype, also=[0.01] * 5)
    assert shares == pytest.approx(expected, abs=0.015)
    assert [share == 0 for share in shares] == [value == 0 for value in expected]


@pytest.mark.parametrize(("dim", "mode"), [(4, 1.632993162), (16, 1.440164600), (128, 1.417027921)])
def test_the_density_has_its_mode_where_distances_are_most_frequent(dim, mode):
    distance = torch.linspace(0.5, 1.99, 200_001, dtype=torch.float64)
    log_odds = log_inverse_density(1 - distance.square() / 2, dim, 0.5)
    assert distance[log_odds.argmin()].item() == pytest.approx(mode, abs=1e-4)


def test_weighted_distances_of_uniform_points_have_a_flat_histogram():
    distance = (uniform(200_000, 16, 1) - uniform(200_000, 16, 2)).norm(dim=1)
    odds = log_inverse_density(1 - distance.square() / 2, 16, 0.5).exp()
    counts = torch.histogram(distance.double(), 6, range=(0.8, 1.4), weight=odds.double()).hist
    assert (counts / counts.mean() - 1).abs().max() < 0.1


# ---- what it is for


def test_negatives_come_from_the_whole_range_of_distances_where_uniform_ones_come_from_its_end(pairs):
    rows, labels = uniform(1024, 8), torch.arange(1024) // 4
    data = pairs(rows, labels)

    def histogram(found):
        a, _, n = found.indices
        return torch.histogram((rows[a] - rows[n]).norm(dim=1), 9, range=(0.5, 1.4)).hist / len(a)

    weighted = histogram(mine(data, 8))
    even = histogram(random_triplets(*data[1:], generator(), per_anchor=3))
    assert 0.08 < weighted.min() < weighted.max() < 0.13
    assert even.max() > 20 * even.min()


def test_at_512_dimensions_every_anchor_keeps_a_triplet_when_one_negative_is_near(pairs):
    """Between rows log-weights differ by hundreds: each row has to be scaled by itself.

    pytorch-metric-learning scales all by the largest, and 126 of 128 anchors lose their negatives.
    """
    labels = torch.arange(128) // 4
    rows = uniform(128, 512)
    rows[4] = functional.normalize(rows[0] + 0.3 * uniform(1, 512, 9)[0], dim=0)  # of another class
    a, _, n = mine(pairs(rows, labels), 512, farthest=2.0).indices
    theirs = DistanceWeightedMiner(nonzero_loss_cutoff=2.0)(rows, labels)[0]
    assert len(theirs.unique()) == 2
    assert len(a.unique()) == 128
    assert len(a) == 128 * 3
    assert (n[a == 0] == 4).all()
    assert (n[a == 4] == 0).all()


def test_at_512_dimensions_the_shares_in_single_precision_are_those_of_double_precision(pairs):
    rows, labels = uniform(128, 512), torch.arange(128) // 4
    near = functional.normalize(rows[4:8] + 0.5 * rows[:1], dim=1)
    rows = torch.cat([rows[:4], near, rows[8:]])
    similarity, _, negatives = pairs(rows.double(), labels)

    def shares(values):
        return log_inverse_density(values, 512, 0.5).masked_fill(~negatives, -torch.inf).softmax(dim=1)

    single, exact = shares(similarity.float()), shares(similarity)
    assert exact.max() > 0.99
    assert (single - exact).abs().max() < 2e-3


# ---- its triplets


@few
@seeds
def test_each_positive_pair_comes_once_with_a_negative_in_reach(batch, pairs, seed):
    data = pairs(*batch(classes=5, per_class=4, seed=seed))
    similarity, positives, negatives = data
    a, p, n = mine(data, 6, seed).indices
    reach = negatives & (similarity > 1 - 1.4**2 / 2)
    expected = (positives & reach.any(dim=1, keepdim=True)).nonzero().tolist()
    assert torch.stack([a, p], dim=1).tolist() == expected
    assert reach[a, n].all()


def test_classes_of_different_sizes_are_mined_alike(pairs):
    rows, labels = uniform(40, 8), torch.tensor([0] * 25 + [1] * 10 + [2] * 2 + [3] * 3)
    a, p, _ = mine(pairs(rows, labels), 8, farthest=2.0).indices
    assert len(torch.stack([a, p]).unique(dim=1).T) == len(a) == 25 * 24 + 10 * 9 + 2 + 3 * 2


def test_positives_and_negatives_are_positions_among_the_refs(batch, pairs):
    rows, labels = batch(classes=3, per_class=2, seed=5)
    refs, ref_labels = batch(classes=4, per_class=5, seed=6)
    a, p, n = mine(pairs(rows, labels, refs, ref_labels), 6, farthest=1.9).indices
    assert len(a) == 6 * 5
    assert torch.equal(labels[a], ref_labels[p])
    assert (labels[a] != ref_labels[n]).all()


def test_the_generator_alone_decides(pairs):
    rows, labels = uniform(64, 8), torch.arange(64) // 4
    first, again, other = (mine(pairs(rows, labels), 8, seed).indices for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_anchor_without_a_negative_in_reach_is_dropped(pairs):
    rows = functional.normalize(
        torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1], [0.9, 0.3]]), dim=1
    )
    a, _, n = mine(pairs(rows, torch.tensor([0, 0, 1, 1, 2])), 2).indices
    assert a.tolist() == [0, 1]
    assert n.tolist() == [4, 4]


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_no_triplets(four, pairs, labels):
    assert mine(pairs(four[0], torch.tensor(labels)), 2).indices.shape == (3, 0)


@pytest.mark.parametrize("similarity", [1.0 + 1e-6, -1.0 - 1e-6])
def test_rounding_past_one_is_harmless(similarity):
    data = torch.tensor([[0.3, similarity]]), torch.tensor([[True, False]]), torch.tensor([[False, True]])
    assert mine(data, 512, farthest=3.0).indices.flatten().tolist() == [0, 0, 1]


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_the_least_and_the_largest_draw_choose_a_negative_in_reach(monkeypatch, batch, pairs, draw):
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, draw))
    data = pairs(*batch(classes=5, per_class=4, seed=1))
    for similarity in (data[0], data[0].float()):
        a, _, n = mine((similarity, *data[1:]), 6).indices
        assert data[2][a, n].all()
