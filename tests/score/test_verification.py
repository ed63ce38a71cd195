import doctest
import math

import numpy as np
import pytest
import torch

from dmlbench.errors import DataError, UsageError
from dmlbench.score import DISTANCES, verification
from dmlbench.score.distance import similarity_to
from dmlbench.score.roc import METRIC_VERSIONS
from dmlbench.score.verification import PAIRWISE, fars_of, pair_similarities, tar_name, verify

from . import reference

# Two pairs of one class, two of two classes.
POINTS = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
PAIRS = torch.tensor([[0, 1], [2, 3], [0, 2], [1, 3]])
SAME = torch.tensor([True, True, False, False])


@pytest.fixture
def faces(clusters):
    """Embeddings, 600 pairs of their rows, whether each is genuine, and ten folds."""
    embeddings, labels = clusters()
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randint(0, len(labels), (9000, 2), generator=generator)
    genuine = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    chosen = torch.cat([genuine.nonzero()[:300, 0], (~genuine).nonzero()[:300, 0]])
    return embeddings, pairs[chosen], genuine[chosen], torch.arange(600) % 10


def test_the_pairs_similarities_are_those_of_the_matrix_in_every_distance(clusters):
    assert set(PAIRWISE) == set(DISTANCES)
    embeddings, _ = clusters()
    embeddings = embeddings.double()
    pairs = torch.randint(0, len(embeddings), (500, 2), generator=torch.Generator().manual_seed(0))
    for distance in DISTANCES:
        points = embeddings.sign() if distance == "hamming" else embeddings / 20
        matrix = torch.empty(len(points), len(points), dtype=torch.float64)
        similarity_to(points.clone(), distance, 0.5)(points, matrix)
        found = pair_similarities(points, pairs, distance, curvature=0.5)
        assert torch.allclose(found, matrix[pairs[:, 0], pairs[:, 1]], atol=1e-7), distance


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_pairs_similarities_equal_the_plain_loops(clusters, distance):
    embeddings = clusters(classes=4)[0].double()
    embeddings[3] = 0
    pairs = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    apart = getattr(reference, f"{distance}_distance")
    shift = 1 if distance == "cosine" else 0
    wanted = [shift - apart(embeddings[i].tolist(), embeddings[j].tolist()) for i, j in pairs.tolist()]
    assert pair_similarities(embeddings, pairs, distance).tolist() == pytest.approx(wanted, abs=1e-12)


def test_poincare_and_hamming_pairs_are_known():
    ball = torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    assert -pair_similarities(ball, PAIRS[:1], "poincare") == pytest.approx(2 * math.atanh(0.5))
    for codes in (torch.tensor([[1, -1, 1], [-1, -1, -1]]), torch.tensor([[1, 0, 1], [0, 0, 0]])):
        assert pair_similarities(codes.to(torch.int8), PAIRS[:1], "hamming").tolist() == [-2]


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "poincare"])
def test_the_size_of_a_chunk_does_not_matter(faces, monkeypatch, distance):
    embeddings, pairs, *_ = faces
    plain = pair_similarities(embeddings / 20, pairs, distance)
    monkeypatch.setattr(verification, "_CHUNK_ELEMENTS", 7 * embeddings.shape[1])
    assert torch.allclose(pair_similarities(embeddings / 20, pairs, distance), plain, rtol=1e-14, atol=0)


def test_pairs_of_many_items_need_no_matrix_of_all():
    """It would take 80 GB."""
    points = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0))
    pairs = torch.arange(100_000).reshape(-1, 2)
    assert pair_similarities(points, pairs).shape == (50_000,)


def test_verify_agrees_with_scikit_learn(faces):
    from sklearn.metrics import roc_auc_score

    embeddings, pairs, genuine, folds = faces
    found = verify(embeddings, pairs, genuine, folds)
    scores = torch.nn.functional.cosine_similarity(*embeddings.double()[pairs].unbind(1))
    assert found.metrics["roc_auc"] == pytest.approx(roc_auc_score(genuine, scores), abs=1e-9)
    assert 0.6 < found.metrics["roc_auc"] < 0.99
    assert found.metrics["lfw_accuracy"] == pytest.approx(float(found.folds.accuracies.mean()))
    assert len(found.folds.thresholds) == 10
    assert (found.genuine, found.impostors) == (300, 300)


def test_metrics_are_named_and_their_versions_stand_beside_them():
    found = verify(POINTS, PAIRS, SAME, torch.tensor([0, 1, 0, 1]), fars=(0.5, 0.015))
    assert found.metrics == {
        "roc_auc": 1,
        "eer": 0,
        "lfw_accuracy": 1,
        "tar_at_far_5e-1": 1,
        "tar_at_far_1.5e-2": 1,
    }
    assert list(found.metric_versions) == list(found.metrics)
    assert set(found.metric_versions.values()) == set(METRIC_VERSIONS.values()) == {1}
    assert found.coarse == ("tar_at_far_1.5e-2",)
    plain = verify(POINTS, PAIRS, SAME)
    assert list(plain.metrics) == ["roc_auc", "eer", "tar_at_far_1e-1", "tar_at_far_1e-2", "tar_at_far_1e-3"]
    assert plain.folds is None


def test_neither_the_order_of_pairs_nor_of_the_two_in_a_pair_matters(faces):
    embeddings, pairs, genuine, folds = faces
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))
    plain = verify(embeddings, pairs, genuine, folds)
    assert verify(embeddings, pairs[order].flip(1), genuine[order], folds[order]).metrics == plain.metrics
    assert verify(embeddings * 1024, pairs, genuine, folds + 2**53).metrics == plain.metrics


def test_numpy_half_and_strided_input_with_gradients_is_read_as_it_is(faces):
    embeddings, pairs, genuine, folds = faces
    plain = verify(embeddings, pairs, genuine, folds).metrics
    arrays = [values.numpy() for values in (embeddings, pairs, genuine, folds)]
    assert verify(*arrays).metrics == plain
    assert verify(arrays[0], arrays[1].astype(np.int16), arrays[2].astype(int), arrays[3]).metrics == plain
    doubled = embeddings.repeat_interleave(2, dim=0)[::2].requires_grad_()
    assert verify(doubled, pairs.T.contiguous().T, genuine.long(), folds.int()).metrics == plain
    for dtype in (torch.float16, torch.bfloat16):
        rounded = embeddings.to(dtype)
        assert verify(rounded, pairs, genuine).metrics == verify(rounded.double(), pairs, genuine).metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"genuine": SAME | True}, "none of the 4 pairs is impostor"),
        ({"genuine": SAME & False}, "none of the 4 pairs is genuine"),
        ({"genuine": SAME[:3]}, r"each of 4 pairs, got shape \(3,\)\n  in   genuine"),
        ({"genuine": SAME[:, None]}, r"each of 4 pairs, got shape \(4, 1\)"),
        ({"genuine": SAME * 2 - 1}, r"genuine \(1\) or not \(0\)"),
        ({"genuine": SAME.double()}, "whole numbers, got torch.float64\n  in   genuine"),
        ({"pairs": PAIRS + 1}, r"pair 1 is \[3, 4\], of 4 embeddings"),
        ({"pairs": PAIRS - 1}, r"pair 0 is \[-1, 0\], of 4 embeddings"),
        ({"pairs": PAIRS.double()}, "whole numbers, got torch.float64\n  in   pairs"),
        ({"pairs": PAIRS.T}, r"expected pairs of rows, got shape \(2, 4\)"),
        ({"pairs": PAIRS[:0]}, r"expected pairs of rows, got shape \(0, 2\)"),
        ({"pairs": PAIRS[0]}, r"expected pairs of rows, got shape \(2,\)"),
        ({"folds": SAME[:3]}, r"each of 4 pairs, got shape \(3,\)\n  in   folds"),
        ({"folds": torch.zeros(4).long()}, "two or more folds"),
        ({"embeddings": POINTS / 0}, "row 0 is not finite"),
        ({"distance": "poincare"}, "4 embeddings lie on or outside the ball"),
        ({"distance": "hamming"}, "one of codes"),
    ],
)
def test_pairs_that_cannot_be_scored_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        verify(**{"embeddings": POINTS, "pairs": PAIRS, "genuine": SAME, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": "cosin"}, "no distance named 'cosin'\n  near cosine"),
        ({"distance": "poincare", "curvature": -1.0}, "curvature -1.0"),
        ({"fars": [0.1, 1.5]}, "far=1.5"),
    ],
)
def test_wrong_usage_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        verify(POINTS, PAIRS, SAME, **arguments)


def test_a_distance_without_a_pairwise_form_is_refused(monkeypatch):
    monkeypatch.setitem(DISTANCES, "manhattan", None)
    with pytest.raises(UsageError, match="no pairwise distance named 'manhattan'"):
        pair_similarities(POINTS, PAIRS, "manhattan")


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(verification, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 0


def test_names_of_metrics_say_at_which_rates():
    names = ["eer", "tar_at_far_1e-3", "lfw_accuracy", "tar_at_far_2.5e-2", "roc_auc"]
    assert fars_of(names) == [0.001, 0.025]
    assert [tar_name(far) for far in fars_of(names)] == [names[1], names[3]]


@pytest.mark.parametrize(
    "name",
    [
        "recall_at_1",
        "tar_at_far_F",
        "tar_at_far_0.001",
        "tar_at_far_2e0",
        "tar_at_far_nan",
        "tar_at_far_",
        "auc",
    ],
)
def test_a_name_that_is_no_metric_of_pairs_is_refused(name):
    with pytest.raises(UsageError, match=f"no metric of pairs named '{name}'"):
        fars_of(["eer", name])


def test_the_similarities_that_were_judged_are_in_the_answer(faces):
    embeddings, pairs, genuine, folds = faces
    found = verify(embeddings, pairs, genuine, folds)
    assert torch.equal(found.similarities, pair_similarities(embeddings, pairs))
