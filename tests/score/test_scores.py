import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.errors import DataError, UsageError
from dmlbench.score import score
from dmlbench.score.inputs import as_embeddings
from dmlbench.score.ranks import permutation

from . import reference

STEMS = ("recall", "precision", "map", "map_min", "map_hits", "map_voc", "ndcg")
NAMES = [
    *(f"{stem}_at_{k}" for stem in STEMS for k in (1, 2, 4)),
    *("r_precision", "map_at_r", "map", "map_voc", "mrr"),
]

# Points on a line; 7.5 is the only item of its class. Worked out by hand.
LINE = torch.tensor([0, 1, 2.1, 3.3, 4.6, 6, 7.5, 9.1], dtype=torch.float64)[:, None]
LINE_LABELS = torch.tensor([0, 1, 0, 0, 1, 1, 2, 0])
LINE_SCORES = {
    "recall_at_1": 0.2857142857,
    "recall_at_2": 0.7142857143,
    "recall_at_4": 1.0,
    "precision_at_2": 0.3571428571,
    "precision_at_4": 0.3214285714,
    "r_precision": 0.3809523810,
    "map_at_r": 0.2658730159,
    "map": 0.4963151927,
    "map_voc": 0.5341269841,
    "map_at_2": 0.2023809524,
    "map_min_at_2": 0.25,
    "map_hits_at_2": 0.5,
    "ndcg_at_2": 0.3409789725,
    "ndcg_at_4": 0.4281281062,
    "ndcg_at_7": 0.6683554512,
    "mrr": 0.5714285714,
}
LINE_SCORES_LONE_ZERO = {
    "recall_at_1": 0.25,
    "recall_at_2": 0.625,
    "recall_at_4": 0.875,
    "precision_at_2": 0.3125,
    "precision_at_4": 0.28125,
    "r_precision": 0.3333333333,
    "map": 0.4342757937,
    "mrr": 0.5,
}


MANY = torch.eye(8, dtype=torch.int64) + torch.eye(8, dtype=torch.int64).roll(1, 0)


def places(size, seed=0):
    return permutation(size, seed).argsort().tolist()


def expected(
    queries, labels, gallery=None, gallery_labels=None, *, distance="euclidean", lone="excluded", seed=0
):
    self_form = gallery is None
    items, item_labels = (queries, labels) if self_form else (gallery, gallery_labels)
    rows = reference.relevance(
        queries.tolist(),
        labels.tolist(),
        items.tolist(),
        item_labels.tolist(),
        getattr(reference, f"{distance}_distance"),
        places(len(items), seed),
        self_form,
    )
    return reference.mean_metrics(rows, lone)


def assert_matches(scores, wanted, tolerance=1e-12):
    means, counted, skipped = wanted
    assert scores.metrics == pytest.approx(means, abs=tolerance)
    assert (scores.queries, scores.skipped) == (counted, skipped)


def test_the_worked_example_without_its_lone_query():
    scores = score(LINE, LINE_LABELS, metrics=list(LINE_SCORES), distance="euclidean")
    assert scores.metrics == pytest.approx(LINE_SCORES, abs=1e-10)
    assert (scores.queries, scores.skipped) == (7, 1)
    assert [bool(value.isnan()) for value in scores.per_query["map"]] == [i == 6 for i in range(8)]


def test_the_worked_example_with_its_lone_query_as_zero():
    scores = score(LINE, LINE_LABELS, metrics=list(LINE_SCORES_LONE_ZERO), distance="euclidean", lone="zero")
    assert scores.metrics == pytest.approx(LINE_SCORES_LONE_ZERO, abs=1e-10)
    assert (scores.queries, scores.skipped) == (8, 0)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("lone", ["excluded", "zero"])
def test_self_form_equals_the_plain_loops(clusters, distance, lone):
    embeddings, labels = clusters(per_class=4, dim=5)
    labels[0], labels[17] = 900, 901
    embeddings = embeddings.double()
    scores = score(embeddings, labels, metrics=NAMES, distance=distance, lone=lone)
    assert_matches(scores, expected(embeddings, labels, distance=distance, lone=lone))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_query_and_gallery_form_equals_the_plain_loops(clusters, distance):
    embeddings, labels = clusters(dim=5)
    embeddings = embeddings.double()
    parts = embeddings[:50], labels[:50], embeddings[50:], labels[50:] % 15  # five classes lose their items
    scores = score(
        parts[0], parts[1], gallery=parts[2], gallery_labels=parts[3], metrics=NAMES, distance=distance
    )
    wanted = expected(*parts, distance=distance)
    assert wanted[2] > 0
    assert_matches(scores, wanted)


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 5), st.booleans())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_ties_are_broken_by_the_permutation_exactly(seed, dim, tie_seed, self_form):
    """Points on a small grid: distances are exact, and most are tied."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(0, 3, (60, dim), generator=generator).float()
    labels = torch.randint(0, 6, (60,), generator=generator)
    parts = (points, labels) if self_form else (points[:20], labels[:20], points[20:], labels[20:])
    gallery = {} if self_form else {"gallery": parts[2], "gallery_labels": parts[3]}
    scores = score(*parts[:2], **gallery, metrics=NAMES, distance="euclidean", tie_seed=tie_seed)
    assert_matches(scores, expected(*parts, seed=tie_seed))


def test_cosine_ties_of_binary_codes_are_broken_by_the_permutation_exactly():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 2, (80, 4), generator=generator) * 2 - 1  # of length 2: products are exact
    labels = torch.randint(0, 7, (80,), generator=generator)
    assert_matches(score(codes, labels, metrics=NAMES), expected(codes, labels, distance="cosine"))


def test_agrees_with_pytorch_metric_learning(clusters):
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    theirs = {
        "recall_at_1": "precision_at_1",
        "r_precision": "r_precision",
        "map_at_r": "mean_average_precision_at_r",
    }
    calculator = AccuracyCalculator(
        include=tuple(theirs.values()),
        k="max_bin_count",
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
    )
    for seed, noise in enumerate((0.8, 1.5, 3.0)):
        embeddings, labels = clusters(classes=40, per_class=9, noise=noise, seed=seed)
        unit = torch.nn.functional.normalize(embeddings)
        wanted = calculator.get_accuracy(unit, labels)
        scores = score(embeddings, labels, metrics=list(theirs))
        assert scores.metrics == pytest.approx(
            {ours: wanted[name] for ours, name in theirs.items()}, abs=1e-6
        )


def test_a_collapsed_model_scores_at_chance():
    labels = torch.arange(50).repeat_interleave(10)  # in order: a stable sort would favour neighbours
    for constant in (torch.ones(500, 8), torch.zeros(500, 8), torch.full((500, 8), 0.1)):
        scores = score(constant, labels, metrics=["recall_at_1", "precision_at_100", "map"])
        assert scores.metrics["recall_at_1"] == pytest.approx(9 / 499, abs=0.02)
        assert scores.metrics["precision_at_100"] == pytest.approx(9 / 499, abs=0.01)
        assert scores.metrics["map"] < 0.05


@given(st.integers(0, 2**32))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_scores_ignore_the_order_of_items_and_their_scale(seed):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 8, (40,), generator=generator)
    order = torch.randperm(40, generator=generator)
    plain = score(embeddings, labels, metrics=NAMES)
    moved = score(embeddings[order], labels[order], metrics=NAMES)
    assert moved.metrics == pytest.approx(plain.metrics, abs=1e-12)
    torch.testing.assert_close(moved.per_query["map"], plain.per_query["map"][order], equal_nan=True)
    scaled = score(embeddings * 1024, labels, metrics=NAMES)
    assert scaled.metrics == plain.metrics


def test_scores_do_not_mind_that_all_similarities_are_negative():
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.1], [-1.0, 3.0]])
    scores = score(
        query, torch.tensor([1]), gallery=gallery, gallery_labels=torch.tensor([0, 1]), metrics=["map", "mrr"]
    )
    assert scores.metrics == {"map": 1.0, "mrr": 1.0}


def test_of_duplicates_only_the_query_itself_is_left_out():
    """Two copies of each point: each finds its copy first, never itself, never nothing."""
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(1)).repeat(2, 1)
    scores = score(points, torch.arange(30).repeat(2), metrics=["recall_at_1", "map_at_r"])
    assert scores.metrics == {"recall_at_1": 1.0, "map_at_r": 1.0}
    assert scores.queries == 60


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_block_size_does_not_change_a_bit(clusters, distance):
    embeddings, labels = clusters(classes=150, per_class=20, noise=2.5)
    labels = (labels**1.4 / 20).long()  # classes of 20 to 180 items
    options = {"metrics": NAMES, "distance": distance}
    wide, *others = (score(embeddings, labels, **options, max_block_mib=m) for m in (999, 1, 7))
    for narrow in others:
        assert narrow.metrics == wide.metrics
        assert all(torch.equal(narrow.per_query[name], wide.per_query[name]) for name in wide.per_query)


def test_label_ids_above_two_to_the_24_stay_apart(clusters):
    embeddings, labels = clusters()
    plain = score(embeddings, labels)
    for base in (2**24, 2**53, -(2**62)):
        assert score(embeddings, labels + base).metrics == plain.metrics


def test_numpy_half_and_strided_input_is_scored_in_float32(clusters):
    embeddings, labels = clusters()
    plain = score(embeddings, labels).metrics
    assert score(embeddings.numpy(), labels.numpy()).metrics == plain
    assert score(embeddings.T.contiguous().T, labels).metrics == plain
    assert score(embeddings.repeat_interleave(2, dim=0)[::2], labels).metrics == plain
    assert score(embeddings.numpy()[::-1], labels.numpy()[::-1]).metrics == pytest.approx(plain, abs=1e-3)
    assert score(embeddings.numpy().astype(">f4"), labels.numpy().astype(np.uint8)).metrics == plain
    strided = torch.stack([labels, labels], dim=1)[:, 0]
    assert score(embeddings, strided).metrics == plain
    for dtype in (torch.float16, torch.bfloat16):
        rounded = embeddings.to(dtype)
        assert score(rounded, labels).metrics == score(rounded.float(), labels).metrics


def test_class_sums_add_up_to_the_means():
    scores = score(LINE, LINE_LABELS, metrics=["map_at_r", "recall_at_1"], distance="euclidean")
    sums = scores.class_sums(LINE_LABELS, ["map_at_r"])
    assert sums.classes.tolist() == [0, 1, 2]
    assert sums.counts.tolist() == [4, 3, 0]
    assert list(sums.sums) == ["map_at_r"]
    assert float(sums.sums["map_at_r"].sum() / sums.counts.sum()) == pytest.approx(scores.metrics["map_at_r"])
    assert sums.sums["map_at_r"][2] == 0
    with pytest.raises(UsageError, match="'map' was not scored"):
        scores.class_sums(LINE_LABELS, ["map"])
    with pytest.raises(DataError, match="expected 8 labels"):
        scores.class_sums(LINE_LABELS[:7])


def test_metric_versions_stand_beside_the_metrics():
    scores = score(LINE, LINE_LABELS)
    assert list(scores.metrics) == list(scores.metric_versions) == list(scores.per_query)
    assert set(scores.metric_versions.values()) == {1}


def test_embeddings_that_are_not_finite_are_refused_by_row():
    for poison in (float("nan"), float("inf"), -float("inf")):
        embeddings = torch.ones(8, 3)
        embeddings[5, 1] = poison
        with pytest.raises(
            DataError, match=r"row 5 is not finite(.|\n)*\(1 of 8 rows do\)(.|\n)*in   embeddings"
        ):
            score(embeddings, LINE_LABELS)
        with pytest.raises(DataError, match=r"row 5 is not finite(.|\n)*in   gallery"):
            score(torch.ones(8, 3), LINE_LABELS, gallery=embeddings, gallery_labels=LINE_LABELS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": LINE_LABELS[:7]}, "expected 8 labels, one for each embedding, got shape \\(7,\\)"),
        ({"labels": LINE_LABELS[:, None]}, "expected 8 labels"),
        ({"labels": LINE_LABELS.repeat(2, 1).T}, "a row of several labels is one of 0 and 1"),
        ({"distance": "hamming"}, "the Hamming distance is one of codes"),
        ({"levels": {"colour": LINE_LABELS[:3]}}, "expected 8 labels(.|\\n)*level colour"),
        ({"levels": {"colour": MANY}}, "a level has one class for each item"),
        ({"gallery": LINE, "gallery_labels": LINE_LABELS, "own_rows": LINE_LABELS - 2}, "or -1"),
        ({"gallery": LINE, "gallery_labels": MANY}, "queries have labels of shape \\(8,\\), gallery"),
        ({"labels": LINE_LABELS.double()}, "labels are whole numbers, got torch.float64"),
        ({"labels": np.array(["a"] * 8)}, "expected an array of numbers"),
        ({"labels": torch.arange(8)}, "none of the 8 queries has another item of its class"),
        ({"labels": torch.arange(8), "lone": "zero"}, "none of the 8 queries"),
        ({"embeddings": LINE[:, 0]}, "expected rows of embeddings, got shape \\(8,\\)"),
        ({"embeddings": LINE[:0]}, "nothing to score: shape \\(0, 1\\)"),
        ({"embeddings": LINE[:, :0]}, "nothing to score: shape \\(8, 0\\)"),
        ({"embeddings": LINE.to(torch.complex64)}, "expected real numbers"),
        ({"gallery": torch.ones(8, 2), "gallery_labels": LINE_LABELS}, "1 dimensions, the gallery has 2"),
        ({"gallery": LINE, "gallery_labels": LINE_LABELS[:2]}, "expected 8 labels"),
        ({"distance": "poincare"}, "7 embeddings lie on or outside the ball of radius 1"),
    ],
)
def test_data_that_cannot_be_scored_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        score(**{"embeddings": LINE, "labels": LINE_LABELS, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gallery": LINE}, "given together or not at all"),
        ({"gallery_labels": LINE_LABELS}, "given together or not at all"),
        ({"metrics": ["recall_at_one"]}, "no metric named 'recall_at_one'"),
        ({"metrics": []}, "no metric is asked for"),
        ({"metrics": "map"}, "a list of names"),
        ({"distance": "cosin"}, "no distance named 'cosin'\n  near cosine"),
        ({"distance": "poincare", "curvature": 0.0}, "curvature 0.0"),
        ({"lone": "dropped"}, "lone='dropped'"),
        ({"ties": "random"}, "ties='random'"),
        ({"average": "item"}, "average='item'"),
        ({"backend": "annoy"}, "backend='annoy'"),
        ({"own_rows": LINE_LABELS}, "rows of a gallery, and there is none"),
        ({"gallery_levels": {"colour": LINE_LABELS}}, "every level needs labels"),
        ({"metrics": ["acg_at_3"]}, "acg_at_3 wants labels that are rows of 0 and 1"),
        ({"labels": MANY, "metrics": ["knn_accuracy_at_1"]}, "knn_accuracy_at_1 wants labels that are class"),
        ({"labels": MANY, "average": "class"}, "no class to average over"),
        ({"metrics": ["knn_accuracy_at_8"]}, "8 neighbours are asked for, and a query has 7"),
        ({"metrics": ["nmi"], "distance": "hamming", "embeddings": MANY}, "nmi: undefined in the hamming"),
        ({"labels": MANY, "metrics": ["hamming_loss_at_2"], "lone": "zero"}, "is best at 0"),
        ({"tie_seed": 2**63}, "tie_seed="),
        ({"max_block_mib": 0}, "max_block_mib=0"),
    ],
)
def test_wrong_usage_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        score(**{"embeddings": LINE, "labels": LINE_LABELS, **arguments})


def test_a_gallery_that_holds_the_queries_scores_as_the_self_form(clusters):
    embeddings, labels = clusters()
    rows = torch.arange(3, 160, 2)
    plain = score(embeddings, labels, metrics=NAMES)
    some = score(
        embeddings[rows],
        labels[rows],
        gallery=embeddings,
        gallery_labels=labels,
        own_rows=rows,
        metrics=[*NAMES, "knn_accuracy_at_3", "class_mean_accuracy"],
    )
    every = score(embeddings, labels, metrics=["knn_accuracy_at_3", "class_mean_accuracy"])
    for name in NAMES:
        assert torch.equal(some.per_query[name], plain.per_query[name][rows])
    for name in every.metrics:
        assert torch.equal(some.per_query[name], every.per_query[name][rows])


def test_a_query_that_is_not_in_the_gallery_leaves_nothing_out(clusters):
    embeddings, labels = clusters()
    gallery = {"gallery": embeddings[40:], "gallery_labels": labels[40:], "metrics": NAMES}
    plain = score(embeddings[:40], labels[:40], **gallery)
    assert (
        score(embeddings[:40], labels[:40], own_rows=torch.full((40,), -1), **gallery).metrics
        == plain.metrics
    )


def test_levels_are_scored_in_the_same_pass_as_if_alone(clusters):
    embeddings, labels = clusters()
    coarse = labels // 4
    both = score(embeddings, labels, levels={"coarse": coarse}, metrics=["map_at_r", "recall_at_1", "nmi"])
    assert list(both.metrics) == ["map_at_r", "recall_at_1", "nmi", "coarse/map_at_r", "coarse/recall_at_1"]
    assert both.metrics["coarse/map_at_r"] == score(embeddings, coarse).metrics["map_at_r"]
    assert both.metrics["map_at_r"] == score(embeddings, labels).metrics["map_at_r"]
    assert list(both.metric_versions) == list(both.metrics)
    parts = score(
        embeddings[:50],
        labels[:50],
        gallery=embeddings[50:],
        gallery_labels=labels[50:],
        levels={"coarse": coarse[:50]},
        gallery_levels={"coarse": coarse[50:]},
    )
    alone = score(embeddings[:50], coarse[:50], gallery=embeddings[50:], gallery_labels=coarse[50:])
    assert parts.metrics["coarse/map_at_r"] == alone.metrics["map_at_r"]


def test_class_means_weigh_classes_equally():
    scores = {
        average: score(LINE, LINE_LABELS, metrics=["map"], distance="euclidean", average=average)
        for average in ("query", "class")
    }
    values, labels = scores["query"].per_query["map"], LINE_LABELS
    wanted = (values[labels == 0].mean() + values[labels == 1].mean()) / 2
    assert scores["class"].metrics["map"] == pytest.approx(wanted.item())
    assert scores["class"].metrics != scores["query"].metrics


def test_metrics_of_all_embeddings_stand_beside_those_of_queries(clusters):
    embeddings, labels = clusters(noise=0.1)
    names = ["nmi", "class_mean_accuracy", "map", "intra_inter_ratio", "spectral_decay"]
    scores = score(embeddings, labels, metrics=names)
    assert list(scores.metrics) == list(scores.metric_versions) == names
    assert set(scores.per_query) == {"class_mean_accuracy", "map"}
    assert scores.metrics["class_mean_accuracy"] == scores.metrics["map"] == 1
    assert scores.metrics["nmi"] > 0.9
    assert scores.metrics["intra_inter_ratio"] < 0.1
    only = score(embeddings, labels, metrics=["spectral_decay"])
    assert only.metrics == {"spectral_decay": scores.metrics["spectral_decay"]}
    assert (only.queries, only.skipped) == (160, 0)


def test_embeddings_in_a_mapped_file_are_read_where_they_lie(tmp_path, clusters):
    embeddings, labels = clusters()
    np.save(tmp_path / "e.npy", embeddings.numpy().astype(np.float16))
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    assert as_embeddings(mapped, "embeddings").data_ptr() == mapped.ctypes.data
    assert score(mapped, labels).metrics == score(np.array(mapped), labels).metrics


def test_the_portions_are_said_before_the_start_and_progress_after_each(clusters):
    heard = []
    score(*clusters(), max_block_mib=1, on_plan=heard.append, on_progress=heard.append)
    plan, *done = heard
    assert str(plan).startswith("160 queries x 160 items of 16 dimensions, cosine in float32: blocks of 160")
    assert done == [160]


def test_input_is_never_written_to(clusters):
    for distance in ("cosine", "euclidean", "poincare", "hamming"):
        embeddings, labels = clusters()
        if distance == "hamming":
            embeddings = (embeddings > 0).float()
        embeddings = embeddings / 100 if distance == "poincare" else embeddings
        before = embeddings.clone()
        score(embeddings, labels, distance=distance)
        score(embeddings[:9], labels[:9], gallery=embeddings, gallery_labels=labels, distance=distance)
        assert torch.equal(embeddings, before)


def test_hamming_is_scored_with_expected_ties_unless_told(clusters):
    embeddings, labels = clusters()
    codes = (embeddings > 0).to(torch.int8)
    plain = score(codes, labels, distance="hamming")
    assert plain.ties == "expected"
    assert score(2 * codes - 1, labels, distance="hamming").metrics == plain.metrics
    assert score(codes, labels, distance="hamming", ties="permuted").ties == "permuted"
    unit = score(2 * codes.float() - 1, labels, ties="expected")
    assert unit.metrics == pytest.approx(plain.metrics, abs=1e-12)


def test_a_level_without_positives_is_refused_by_name(clusters):
    embeddings, labels = clusters()
    with pytest.raises(DataError, match=r"none of the 160 queries(.|\n)*in   labels, level fine"):
        score(embeddings, labels, levels={"fine": torch.arange(160)})


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_level_has_a_name(clusters, name):
    embeddings, labels = clusters()
    with pytest.raises(UsageError, match="a level named"):
        score(embeddings, labels, levels={name: labels})


def test_class_sums_are_those_of_the_labels_themselves(clusters):
    embeddings, labels = clusters(classes=6, per_class=3)
    labels[0] = 90
    scores = score(embeddings, labels, levels={"coarse": labels // 3}, metrics=["map", "recall_at_1"])
    sums = scores.class_sums(labels)
    assert set(sums.sums) == {"map", "recall_at_1"}
    assert sums.counts.sum() == scores.queries == 17
    with pytest.raises(UsageError, match="'coarse/map' was not scored"):
        scores.class_sums(labels, ["coarse/map"])
    with pytest.raises(UsageError, match="no metric was scored that has a value for each query"):
        score(embeddings, labels, metrics=["spectral_decay"]).class_sums(labels)
    with pytest.raises(UsageError, match="no class to sum over"):
        scores.class_sums(torch.nn.functional.one_hot(labels))


@pytest.mark.parametrize("name", ["intra_inter_ratio", "spectral_decay", "nmi", "class_mean_accuracy"])
def test_half_precision_is_never_worked_in(clusters, name):
    embeddings, labels = clusters()
    for dtype in (torch.float16, torch.bfloat16):
        rounded = embeddings.to(dtype)
        found, wanted = (score(rows, labels, metrics=[name]).metrics for rows in (rounded, rounded.float()))
        assert found == wanted


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "poincare"])
def test_copies_are_tied_wherever_they_stand(distance):
    """More copies than a vector register holds, and queries that fill no tile."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(40, 33, generator=generator) / 10
    copies = points.repeat_interleave(25, dim=0)[torch.randperm(1000, generator=generator)]
    for queries in (copies[:1], copies[:7], copies[:513]):
        worst = score(
            queries,
            torch.zeros(len(queries), dtype=torch.int64),
            gallery=copies,
            gallery_labels=(torch.arange(1000) > 0).long(),
            metrics=["mrr"],
            distance=distance,
            ties="pessimistic",
        )
        # The one positive stands at the end of its group of 25 copies.
        assert set((1 / worst.per_query["mrr"]).round().long().remainder(25).tolist()) == {0}


def test_a_cut_off_beyond_the_gallery_takes_no_memory(clusters):
    embeddings, labels = clusters()
    names = ["ndcg_at_160", "ndcg_at_999999999"]
    for ties in ("permuted", "expected"):
        near, far = score(embeddings, labels, metrics=names, ties=ties).metrics.values()
        assert near == far


def test_unsigned_labels_do_not_wrap():
    labels = np.array([2**64 - 1, 3, 3, 2**64 - 1], dtype=np.uint64)
    with pytest.raises(DataError, match=r"labels from 2\^63 on"):
        score(torch.eye(4), labels)
    assert score(torch.eye(4), labels % 7).queries == 4


def test_a_query_outside_the_gallery_may_ask_for_all_of_it():
    options = {"gallery": LINE, "gallery_labels": LINE_LABELS, "own_rows": torch.full((8,), -1)}
    assert score(LINE, LINE_LABELS, **options, metrics=["knn_accuracy_at_8"]).queries == 8


def test_many_shared_labels_are_counted_whatever_training_chose():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(12, 1500, generator=generator) < 0.9).long()
    points = torch.randn(12, 4, generator=generator)
    names = ["acg_at_3", "ndcg_graded_exp_at_3"]
    plain = score(points, labels, metrics=names).metrics
    assert 1000 < plain["acg_at_3"] < 1500
    assert 0 < plain["ndcg_graded_exp_at_3"] <= 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert score(points, labels, metrics=names).metrics == plain
