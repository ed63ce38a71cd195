import math

import pytest
import torch

from dmlbench.errors import UsageError
from dmlbench.score import METRICS, metric, score
from dmlbench.score.overlap import Overlap
from dmlbench.score.positives import SharedLabels
from dmlbench.score.ranks import permutation
from dmlbench.score.ties import TieGroups

# The worked example: query 0 finds 1 and 5 at one distance, then 2, 3, 4.
POINTS = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 0], [3, 4], [0, 1]], dtype=torch.float64)
LABELS = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1], [1, 1, 1]])
EXAMPLE = {
    "label_accuracy_at_3": 0.5,
    "label_precision_at_3": 0.7222222222,
    "label_recall_at_3": 0.6666666667,
    "label_f1_at_3": 0.6555555556,
    "hamming_loss_at_3": 0.4444444444,
    "acg_at_3": 1.3333333333,
    "map_at_3": 1.0,
    "wmap_at_3": 1.2777777778,
    "ndcg_graded_at_3": 0.8821211987,
    "ndcg_graded_exp_at_3": 0.8213137146,
}


def plain_loops(query, items, k):
    """Every multi-label metric of one query's label set, given the ranked items' label sets."""
    shared = [len(query & item) for item in items]
    best = sorted(shared, reverse=True)
    top = items[:k]
    discounts = [1 / math.log2(r + 2) for r in range(k)]

    def ndcg(gain):
        return sum(gain(g) * d for g, d in zip(shared, discounts, strict=False)) / sum(
            gain(g) * d for g, d in zip(best, discounts, strict=False)
        )

    acg = [sum(shared[: r + 1]) / (r + 1) for r in range(k)]
    hits = [acg[r] for r in range(k) if shared[r]]
    return {
        f"label_accuracy_at_{k}": sum(len(query & b) / len(query | b) for b in top) / k,
        f"label_precision_at_{k}": sum(len(query & b) / len(b) for b in top) / k,
        f"label_recall_at_{k}": sum(len(query & b) / len(query) for b in top) / k,
        f"label_f1_at_{k}": sum(2 * len(query & b) / (len(query) + len(b)) for b in top) / k,
        f"hamming_loss_at_{k}": sum(len(query ^ b) for b in top) / k / 5,
        f"acg_at_{k}": acg[-1],
        f"wmap_at_{k}": sum(hits) / len(hits) if hits else 0.0,
        f"ndcg_graded_at_{k}": ndcg(float),
        f"ndcg_graded_exp_at_{k}": ndcg(lambda g: 2.0**g - 1),
        f"precision_at_{k}": sum(g > 0 for g in shared[:k]) / k,
    }


def test_the_worked_example():
    scores = score(POINTS, LABELS, metrics=list(EXAMPLE), distance="euclidean", ties="stable")
    found = {name: values[0].item() for name, values in scores.per_query.items()}
    assert found == pytest.approx(EXAMPLE, abs=1e-10)


def test_the_worked_example_with_expected_ties():
    scores = score(POINTS, LABELS, metrics=["ndcg_graded_at_3"], distance="euclidean", ties="expected")
    assert scores.per_query["ndcg_graded_at_3"][0].item() == pytest.approx(0.9410605993, abs=1e-10)


@pytest.mark.parametrize("self_form", [True, False])
@pytest.mark.parametrize("k", [1, 4, 11])
def test_multi_label_scores_equal_the_plain_loops(self_form, k):
    generator = torch.Generator().manual_seed(k)
    points = torch.randint(0, 5, (40, 2), generator=generator).double()  # many of them tied
    labels = (torch.rand(40, 5, generator=generator) < 0.3).long()
    labels[:, 0] |= labels.sum(dim=1) == 0
    items, item_labels = (points, labels) if self_form else (points[15:], labels[15:])
    queries, query_labels = (points, labels) if self_form else (points[:15], labels[:15])
    gallery = {} if self_form else {"gallery": items, "gallery_labels": item_labels}
    place = permutation(len(items), 0).argsort().tolist()
    sets = [{c for c in range(5) if row[c]} for row in item_labels.tolist()]
    names, found = None, []
    for i, query in enumerate(queries):
        own = {c for c in range(5) if query_labels[i, c]}
        others = [j for j in range(len(items)) if not (self_form and i == j)]
        others.sort(key=lambda j: (math.dist(query.tolist(), items[j].tolist()), place[j]))
        if any(own & sets[j] for j in others):
            found.append(plain_loops(own, [sets[j] for j in others], k))
            names = list(found[-1])
    scores = score(queries, query_labels, **gallery, metrics=names, distance="euclidean")
    assert scores.queries == len(found)
    wanted = {name: sum(values[name] for values in found) / len(found) for name in names}
    assert scores.metrics == pytest.approx(wanted, abs=1e-12)


def test_items_with_one_label_each_score_as_classes_do(clusters):
    embeddings, labels = clusters()
    names = ["recall_at_1", "map_at_r", "map", "ndcg_at_5"]
    one_hot = torch.nn.functional.one_hot(labels)
    found = score(embeddings, one_hot, metrics=[*names, "ndcg_graded_at_5"])
    wanted = score(embeddings, labels, metrics=names)
    assert {name: found.metrics[name] for name in names} == wanted.metrics
    assert found.metrics["ndcg_graded_at_5"] == pytest.approx(wanted.metrics["ndcg_at_5"], abs=1e-15)


def test_an_item_without_any_label_is_relevant_to_nothing():
    labels = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 0]])
    scores = score(torch.randn(4, 3), labels, metrics=["map", "label_accuracy_at_2"])
    assert (scores.queries, scores.skipped) == (2, 2)


def test_positives_share_a_label_and_are_never_the_query():
    relevance = SharedLabels.of(LABELS, LABELS)
    found = relevance.positives(slice(0, 2), torch.tensor([0, -1]))
    rows = [c[v].tolist() for c, v in zip(found.columns, found.valid, strict=True)]
    assert rows == [[1, 2, 5], [0, 1, 5]]
    assert found.shared[0].tolist() == [1, 1, 2]


def test_wmap_has_no_closed_form_over_ties():
    places = TieGroups(torch.tensor([[0]]), torch.tensor([[2]]), torch.tensor([1]))
    overlap = Overlap(torch.ones(1, 1).double(), torch.tensor([1]), torch.ones(1, 1, dtype=torch.int64))
    with pytest.raises(UsageError, match="wmap_at_K has no closed form"):
        metric("wmap_at_3")(places, overlap)


def test_every_multi_label_metric_is_in_the_loops():
    several = {name.replace("K", "4") for name, entry in METRICS.items() if entry.several_labels}
    assert several <= set(plain_loops({0}, [{0}] * 4, 4))
