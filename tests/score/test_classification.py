from collections import Counter

import pytest
import torch

from dmlbench.errors import UsageError
from dmlbench.score import score
from dmlbench.score.classification import class_mean_accuracy, hamming_loss, knn_accuracy, nearest_class


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_votes_equal_a_plain_count(k):
    generator = torch.Generator().manual_seed(k)
    neighbours = torch.randint(0, 4, (200, 9), generator=generator) + 2**40
    labels = torch.randint(0, 4, (200,), generator=generator) + 2**40
    wanted = []
    for label, row in zip(labels.tolist(), neighbours[:, :k].tolist(), strict=True):
        votes = Counter(row)
        most = max(votes.values())
        wanted.append(float(next(c for c in row if votes[c] == most) == label))
    assert knn_accuracy(labels, neighbours, k).tolist() == wanted


def test_one_neighbour_is_recall_at_one(clusters):
    scores = score(*clusters(), metrics=["knn_accuracy_at_1", "recall_at_1"])
    assert scores.metrics["knn_accuracy_at_1"] == scores.metrics["recall_at_1"]


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_class_means_leave_the_query_out(clusters, distance):
    embeddings, labels = clusters(classes=9, per_class=3, noise=1.5)
    labels[labels == 0] = torch.tensor([50, 51, 51])  # one alone in its class
    points = embeddings.double()
    if distance == "cosine":
        points = torch.nn.functional.normalize(points)
    wanted = []
    for i in range(len(points)):
        near = {}
        for label in set(labels.tolist()):
            members = [j for j in range(len(points)) if labels[j] == label and j != i]
            if members:
                mean = points[members].mean(dim=0)
                near[label] = -(points[i] - mean).norm()
                if distance == "cosine":
                    near[label] = points[i] @ mean / mean.norm()
        wanted.append(float(max(near, key=near.get) == labels[i]))
    own = torch.arange(len(points))
    found = class_mean_accuracy(embeddings, labels, embeddings, labels, own, distance)
    assert found.tolist() == wanted
    assert 0 < sum(wanted) < len(wanted)
    # the lone query has no right answer and is left out of the mean
    scores = score(embeddings, labels, metrics=["class_mean_accuracy"], distance=distance)
    assert (scores.queries, scores.skipped) == (26, 1)


def test_class_means_of_a_gallery_and_classes_that_it_lacks(monkeypatch):
    gallery, items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]), torch.tensor([2**30, 5, 5])
    queries, labels = torch.tensor([[1.0, 0.2], [1.0, 0.2], [0.2, 1.0]]), torch.tensor([2**30, 7, 5])
    assert class_mean_accuracy(queries, labels, gallery, items).tolist() == [1, 0, 1]
    monkeypatch.setattr("dmlbench.score.classification._ELEMENTS", 2)  # one query at a time
    assert class_mean_accuracy(queries, labels, gallery, items).tolist() == [1, 0, 1]


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("dim", [3, 64])
def test_a_collapsed_model_finds_its_class_mean_by_chance(distance, dim):
    one = torch.randn(1, dim, generator=torch.Generator().manual_seed(dim)).repeat(600, 1)
    scores = score(one, torch.arange(600) % 60, metrics=["class_mean_accuracy"], distance=distance)
    assert scores.metrics["class_mean_accuracy"] == pytest.approx(1 / 60)


def test_a_mean_in_the_ball_is_refused():
    with pytest.raises(UsageError, match="no meaning in the poincare distance"):
        class_mean_accuracy(
            torch.zeros(2, 2), torch.zeros(2), torch.zeros(2, 2), torch.zeros(2), None, "poincare"
        )


def test_hamming_loss_counts_the_labels_that_differ():
    labels, neighbours = torch.tensor([[1, 1, 0]]), torch.tensor([[[1, 0, 0], [1, 1, 1], [0, 0, 1]]])
    assert hamming_loss(labels, neighbours, k=1).item() == pytest.approx(1 / 3)
    assert hamming_loss(labels, neighbours, k=3).item() == pytest.approx((1 + 1 + 3) / 9)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_nearest_class_is_that_of_plain_loops_and_earns_what_class_mean_accuracy_gives(distance):
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(7, (60,), generator=generator) * 3
    queries = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    found = nearest_class(queries, gallery, labels, distance)
    placed = gallery / gallery.norm(dim=1, keepdim=True) if distance == "cosine" else gallery
    for query, chosen in zip(queries, found.tolist(), strict=True):
        means = {int(c): placed[labels == c].mean(dim=0) for c in labels.unique()}
        if distance == "cosine":
            near = {c: float(query @ mean / (query.norm() * mean.norm())) for c, mean in means.items()}
        else:
            near = {c: -float((query - mean).norm()) for c, mean in means.items()}
        assert chosen == max(near, key=near.__getitem__)
    truth = torch.randint(7, (40,), generator=generator) * 3
    earned = class_mean_accuracy(queries, truth, gallery, labels, distance=distance)
    assert torch.equal(earned, (found == truth).double())


def test_of_classes_as_near_the_smallest_is_taken():
    collapsed = torch.ones(6, 3)
    labels = torch.tensor([4, 4, 2, 9, 9, 2])
    assert nearest_class(torch.ones(2, 3), collapsed, labels).tolist() == [2, 2]


def test_the_nearest_class_has_no_meaning_in_the_poincare_distance():
    with pytest.raises(UsageError, match="no meaning in the poincare distance"):
        nearest_class(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0, 1]), "poincare")
