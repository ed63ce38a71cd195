import doctest
import itertools
import sys

import faiss
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from dmlbench.errors import DataError, MissingPackageError, UsageError
from dmlbench.score import clustering
from dmlbench.score.clustering import ami, clustering_scores, contingency, kmeans, nmi, pairwise_f1

# A worked example: 3 pairs right, 10 only in one cluster, 4 only in one class.
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
CLUSTERS = torch.tensor([0, 0, 1, 1, 1, 1, 1, 0])
METRICS = (nmi, ami, pairwise_f1)


def pairs(sizes):
    return sum(size * (size - 1) // 2 for size in sizes.tolist())


def random_partition(items, parts, seed):
    return torch.randint(parts, (items,), generator=torch.Generator().manual_seed(seed))


def blobs(classes, per_class, noise=0.1, dim=8):
    labels = torch.arange(classes).repeat(per_class)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, dim, generator=generator)
    return centres[labels] + noise * torch.randn(len(labels), dim, generator=generator), labels


def test_the_worked_example():
    assert nmi(LABELS, CLUSTERS) == pytest.approx(0.211242, abs=5e-7)
    assert ami(LABELS, CLUSTERS) == pytest.approx(-0.001369, abs=5e-7)
    assert pairwise_f1(LABELS, CLUSTERS) == 0.3
    table = contingency(LABELS, CLUSTERS)
    true = pairs(table.counts)
    assert (true, pairs(table.cluster_sizes) - true, pairs(table.class_sizes) - true) == (3, 10, 4)


def test_the_table_leaves_out_empty_cells():
    table = contingency(torch.tensor([5, 5, 2, 9]), torch.tensor([1, 1, 1, -3]))
    cells = zip(table.classes.tolist(), table.clusters.tolist(), table.counts.tolist(), strict=True)
    assert list(cells) == [(0, 1, 1), (1, 1, 2), (2, 0, 1)]
    assert (table.class_sizes.tolist(), table.cluster_sizes.tolist()) == ([1, 2, 1], [1, 3])


@pytest.mark.parametrize(
    ("items", "classes", "clusters"),
    [
        (40, 3, 5),
        (300, 100, 100),
        (900, 400, 2),
        (500, 1, 30),
        (500, 30, 1),
        (3000, 2, 2),
        (700, 650, 650),
    ],
)
def test_scikit_learn_agrees(items, classes, clusters):
    for seed in range(3):
        labels, chance = random_partition(items, classes, seed), random_partition(items, clusters, seed + 50)
        for found in (chance, torch.where(torch.arange(items) % 3 == 0, chance, labels)):
            assert nmi(labels, found) == pytest.approx(normalized_mutual_info_score(labels, found), abs=1e-9)
            assert ami(labels, found) == pytest.approx(adjusted_mutual_info_score(labels, found), abs=1e-9)
            (_, wrong), (missed, true) = pair_confusion_matrix(labels, found).tolist()
            f1 = 2 * true / (2 * true + wrong + missed)
            assert pairwise_f1(labels, found) == pytest.approx(f1, abs=1e-12)


def test_chance_is_the_mean_over_all_orders():
    labels, clusters = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 1, 1])
    orders = [mutual_info_score(labels, order) for order in itertools.permutations(clusters.tolist())]
    found = clustering._expected_information(contingency(labels, clusters))
    assert found == pytest.approx(sum(orders) / len(orders), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30), st.randoms())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_names_order_and_sides_do_not_matter(items, random):
    labels, clusters = torch.tensor(items).T
    # float32 holds no difference of 1 between these.
    names = torch.tensor(random.sample(range(2**24, 2**24 + 14), 7))
    order = torch.tensor(random.sample(range(len(items)), len(items)))
    for metric in METRICS:
        value = metric(labels, clusters)
        assert metric(names[labels], -names[clusters]) == pytest.approx(value, abs=1e-12)
        assert metric(labels[order], clusters[order]) == pytest.approx(value, abs=1e-12)
        assert metric(clusters, labels) == pytest.approx(value, abs=1e-12)
        assert -1 <= value <= 1 + 1e-12


@pytest.mark.parametrize("metric", METRICS)
def test_a_perfect_clustering_gives_one(metric):
    labels = random_partition(200, 60, 0) + 2**24
    assert metric(labels, 3 - labels) == pytest.approx(1, abs=1e-12)
    assert metric(torch.arange(50), torch.arange(50)) == pytest.approx(1, abs=1e-12)


def test_a_single_cluster():
    one = torch.zeros(6, dtype=torch.int64)
    assert (nmi(one, one), ami(one, one), pairwise_f1(one, one)) == (0, 1, 1)
    assert [(nmi(*sides), ami(*sides)) for sides in ((LABELS[:6], one), (one, LABELS[:6]))] == [(0, 0)] * 2


def test_labels_and_clusters_of_unlike_length_are_refused():
    with pytest.raises(DataError, match="8 labels and 1 clusters"):
        nmi(LABELS, CLUSTERS[:1])
    with pytest.raises(DataError, match="0 labels"):
        ami(LABELS[:0], LABELS[:0])


def test_ami_keeps_its_digits_with_sixty_thousand_items():
    """Chance can do no other than each of these, and comes within 1e-5 of the most that is possible."""
    clusters = torch.arange(60_502)
    clusters[1] = 0
    assert ami(torch.arange(60_502), clusters) == pytest.approx(0, abs=1e-6)
    labels = torch.arange(60_502) % 11_316
    assert ami(labels, random_partition(60_502, 11_316, 0)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("seed", range(clustering.CLUSTERINGS))
def test_two_blobs_are_found_from_any_start(seed):
    points, labels = blobs(2, 30)
    assert pairwise_f1(labels, kmeans(points, 2, seed)) == 1


def test_kmeans_ends_where_each_point_is_nearest_to_the_mean_of_its_cluster():
    """Of all its points: with two clusters of 600, faiss left alone would look at a sample."""
    points, _ = blobs(2, 600, noise=1.5)
    found = kmeans(points.double(), 2, seed=0)
    means = torch.stack([points[found == cluster].mean(dim=0) for cluster in (0, 1)])
    assert torch.equal(found, torch.cdist(points, means).argmin(dim=1))


def test_a_seed_fixes_the_clusters(capfd):
    points, _ = blobs(40, 6, noise=0.8)
    found = kmeans(points, 40, seed=3)
    assert torch.equal(found, kmeans(points, 40, seed=3))
    assert not torch.equal(found, kmeans(points, 40, seed=4))
    assert capfd.readouterr() == ("", ""), "faiss warns about few points for a centroid"


def test_faiss_uses_the_threads_of_torch_and_gets_its_own_back(monkeypatch):
    before, seen, train = faiss.omp_get_max_threads(), [], faiss.Kmeans.train

    def spy(*arguments):
        seen.append(faiss.omp_get_max_threads())
        return train(*arguments)

    monkeypatch.setattr(faiss.Kmeans, "train", spy)
    points, _ = blobs(40, 6, noise=0.8)
    one = kmeans(points, 40, seed=3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: before + 1)
    assert torch.equal(one, kmeans(points, 40, seed=3))
    assert (seen[1], faiss.omp_get_max_threads()) == (before + 1, before)


def test_equal_points_share_a_cluster():
    assert len(kmeans(torch.ones(10, 4), 3, seed=0).unique()) == 1
    found = kmeans(torch.eye(4).repeat(5, 1), 8, seed=0)
    assert len(found.unique()) == 4
    assert torch.equal(found, found[:4].repeat(5))


def test_as_many_clusters_as_points_and_no_more():
    points, _ = blobs(4, 1)
    assert len(kmeans(points, 4, seed=0).unique()) == 4
    for clusters in (0, 5):
        with pytest.raises(DataError, match=f"4 points make no {clusters} clusters"):
            kmeans(points, clusters, seed=0)


def test_scores_are_means_over_five_clusterings():
    points, labels = blobs(12, 5, noise=1)
    found = [kmeans(points, 12, seed) for seed in range(5)]
    wanted = {metric.__name__: sum(metric(labels, one) for one in found) / 5 for metric in METRICS}
    scores = clustering_scores(points, labels, list(wanted))
    assert scores == pytest.approx(wanted, abs=1e-15)
    assert scores["nmi"] != nmi(labels, found[0])
    assert clustering_scores(points, labels, []) == {}


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="near pairwise_f1"):
        clustering_scores(*blobs(2, 2), ["pairwisef1"])


def test_without_faiss_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match="faiss is not installed") as caught:
        clustering_scores(*blobs(2, 2), ["nmi"])
    assert caught.value.way_out == "pip install 'dmlbench[faiss-cpu]'"


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(clustering, extraglobs={"torch": torch})
    assert (failed, tried > 0) == (0, True)
