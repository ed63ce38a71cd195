import sys

import pytest
import torch

from dmlbench.errors import MissingPackageError, UsageError
from dmlbench.score import score
from dmlbench.score.faiss_library import faiss

NAMES = [
    "recall_at_1",
    "recall_at_10",
    "precision_at_5",
    "r_precision",
    "map_at_r",
    "map_at_10",
    "ndcg_at_10",
    "knn_accuracy_at_5",
]


def metrics_by_faiss(*data, **options):
    return score(*data, **options, backend="faiss").metrics


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("self_form", [True, False])
def test_faiss_gives_the_same_numbers(clusters, distance, self_form):
    embeddings, labels = clusters(classes=60, per_class=9)
    queries, gallery = (embeddings, labels), {}
    if not self_form:
        queries, gallery = (embeddings[:100], labels[:100]), {"gallery": embeddings, "gallery_labels": labels}
    options = {"metrics": NAMES, "distance": distance, "lone": "zero", **gallery}
    wanted = score(*queries, **options)
    found = score(*queries, **options, backend="faiss")
    assert found.metrics == wanted.metrics
    assert all(torch.equal(found.per_query[name], wanted.per_query[name]) for name in NAMES)
    assert 0.1 < found.metrics["map_at_r"] < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_ties_at_the_cut_are_settled_by_the_permutation(seed):
    """Points on a small grid: every distance is exact and shared by many, more than faiss was asked for."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(0, 3, (300, 2), generator=generator).float()
    labels = torch.randint(0, 6, (300,), generator=generator)
    options = {"metrics": ["recall_at_1", "precision_at_3", "knn_accuracy_at_3"], "distance": "euclidean"}
    assert (
        score(points, labels, **options, backend="faiss").metrics == score(points, labels, **options).metrics
    )
    codes = {"metrics": ["recall_at_1", "map_at_5"], "distance": "hamming", "ties": "permuted"}
    bits = torch.randint(0, 2, (300, 6), generator=generator)
    assert metrics_by_faiss(bits, labels, **codes) == score(bits, labels, **codes).metrics


def test_several_labels_are_searched_too():
    generator = torch.Generator().manual_seed(0)
    points, labels = (
        torch.randn(80, 4, generator=generator),
        torch.randint(0, 2, (80, 3), generator=generator),
    )
    options = {"metrics": ["ndcg_graded_at_5", "acg_at_3", "hamming_loss_at_4"]}
    assert (
        score(points, labels, **options, backend="faiss").metrics == score(points, labels, **options).metrics
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["map", "recall_at_1", "mrr"]}, "map, mrr: the whole ranking is needed"),
        ({"ties": "expected"}, "does not say how many items are tied"),
        ({"distance": "poincare"}, "no Poincaré distance"),
    ],
)
def test_what_faiss_cannot_answer_is_refused(clusters, options, message):
    embeddings, labels = clusters()
    with pytest.raises(UsageError, match=message):
        score(embeddings / 100, labels, backend="faiss", **options)


def test_a_missing_faiss_is_named_with_its_extra(clusters, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match=r"dmlbench\[faiss-cpu\]"):
        score(*clusters(), backend="faiss")


@pytest.mark.skipif(
    not (torch.cuda.is_available() and hasattr(faiss(), "StandardGpuResources")),
    reason="needs a GPU and faiss-gpu",
)
def test_faiss_gpu_gives_the_same_numbers(clusters):
    embeddings, labels = clusters(classes=60, per_class=9, noise=1.5)
    wanted = score(embeddings, labels, metrics=NAMES)
    found = score(embeddings.cuda(), labels.cuda(), metrics=NAMES, backend="faiss")
    assert found.metrics == pytest.approx(wanted.metrics, abs=1e-6)
