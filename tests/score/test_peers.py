"""Other libraries give the same numbers where definitions agree, and other numbers where they do not."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from dmlbench.score import score

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
peers, script = (importlib.import_module(name) for name in ("peer_libraries", "peers"))

SEEDS = (0, 1, 2)
SIZES = (16, 12, 9, 7, 6, 5, 4, 3, 2, 2, 1, 1)
CUT_OFFS = (1, 3, 10, 100)
# torchmetrics works in float32, and so does one metric of PML.
EXACT, FLOAT32 = 1e-12, 1e-6

at = [
    ("recall_at_{}", "hit_rate@{}", "retrieval_hit_rate"),
    ("precision_at_{}", "precision@{}", "retrieval_precision"),
    ("ndcg_at_{}", "ndcg@{}", "retrieval_normalized_dcg"),
]
#: For each library the tolerance, and for each of our names its own name and options.
RANX = {ours.format(k): (theirs.format(k), {}) for ours, theirs, _ in at for k in CUT_OFFS}
RANX |= {f"map_at_{k}": (f"map@{k}", {}) for k in CUT_OFFS}
RANX |= {"r_precision": ("r-precision", {}), "map": ("map", {}), "mrr": ("mrr", {})}
TORCHMETRICS = {ours.format(k): (theirs, {"top_k": k}) for ours, _, theirs in at for k in CUT_OFFS}
TORCHMETRICS |= {f"map_hits_at_{k}": ("retrieval_average_precision", {"top_k": k}) for k in CUT_OFFS}
TORCHMETRICS |= {
    "r_precision": ("retrieval_r_precision", {}),
    "map": ("retrieval_average_precision", {}),
    "mrr": ("retrieval_reciprocal_rank", {}),
}
SKLEARN = {f"ndcg_at_{k}": ("ndcg_score", {"k": k}) for k in CUT_OFFS}
SKLEARN |= {"map": ("average_precision_score", {})}
PML = {
    "recall_at_1": ("precision_at_1", {"k": "max_bin_count"}),
    "precision_at_1": ("precision_at_1", {"k": None}),
    "r_precision": ("r_precision", {"k": "max_bin_count"}),
    "map_at_r": ("mean_average_precision_at_r", {"k": "max_bin_count"}),
    "map": ("mean_average_precision", {"k": None}),
    "map_at_10": ("mean_average_precision", {"k": 10}),
}
PML_MRR = {"mrr": ("mean_reciprocal_rank", {"include": ("mean_reciprocal_rank", "precision_at_1")})}
LIBRARIES = {
    "ranx": (peers.ranx, EXACT, RANX),
    "torchmetrics": (peers.torchmetrics, FLOAT32, TORCHMETRICS),
    "sklearn": (peers.sklearn_ranking, EXACT, SKLEARN),
    "pml": (peers.pml, EXACT, PML),
    "pml_mrr": (peers.pml, FLOAT32, PML_MRR),
}


def data(seed, form, grid=1):
    """Overlapping classes with two lone items; a gallery lacks a whole class."""
    items = peers.clusters(seed, SIZES, grid)
    if form == "self":
        return peers.Data(items)
    queries, gallery = halves(items)
    kept = gallery.labels != 2
    return peers.Data(queries, peers.Items(*(part[kept] for part in gallery)))


def halves(items):
    return [peers.Items(*(part[start::2].copy() for part in items)) for start in (0, 1)]


def ours(given, names, **options):
    if given.gallery is not None:
        options |= {"gallery": given.gallery.points, "gallery_labels": given.gallery.labels}
    return score(*given.queries, metrics=list(names), **{"distance": "euclidean", **options})


def theirs(peer, given, names):
    return {ours: peer(name, given, **options) for ours, (name, options) in names.items()}


@pytest.mark.parametrize("form", ["self", "gallery"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_without_ties_the_numbers_are_theirs(library, seed, form):
    given = data(seed, form)
    squares = peers.squared_distances(given)
    assert all(len(np.unique(row)) == len(row) for row in squares)
    peer, tolerance, names = LIBRARIES[library]
    wanted = theirs(peer, given, names)
    for ties in ("permuted", "expected"):
        found = ours(given, names, ties=ties)
        assert found.skipped > 0
        assert found.metrics == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize("form", ["self", "gallery"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("library", ["torchmetrics", "sklearn"])
def test_expected_ties_are_theirs_where_they_average(library, seed, form):
    given = data(seed, form, grid=400)
    squares = peers.squared_distances(given)
    assert sum(len(np.unique(row)) < len(row) for row in squares) > len(squares) / 2
    peer, tolerance, names = LIBRARIES[library]
    averaged = {name: theirs for name, theirs in names.items() if name.startswith("ndcg")}
    wanted = theirs(peer, given, averaged)
    assert ours(given, averaged, ties="expected").metrics == pytest.approx(wanted, abs=tolerance)
    assert ours(given, averaged, ties="permuted").metrics != pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("form", ["self", "gallery"])
def test_binary_codes_get_the_mean_over_the_orders_of_their_ties(form):
    """16 bits: their squared distances are four times the bits that differ."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 2, (80, 16)) * 2 - 1.0
    items = peers.Items(codes, generator.integers(0, 6, 80))
    given = peers.Data(items) if form == "self" else peers.Data(*halves(items))
    names = {name: theirs for name, theirs in SKLEARN.items() if name != "map"}
    wanted = theirs(peers.sklearn_ranking, given, names)
    assert ours(given, names, distance="hamming").metrics == pytest.approx(wanted, abs=EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_ties_in_the_order_of_the_gallery_are_those_of_ranx(seed):
    given = data(seed, "gallery", grid=400)
    wanted = theirs(peers.ranx, given, RANX)
    assert ours(given, RANX, ties="stable").metrics == pytest.approx(wanted, abs=EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_lone_queries_left_out_and_counted_as_0(seed):
    given = data(seed, "self")
    out, zero = ours(given, ["map"]), ours(given, ["map"], lone="zero")
    assert (out.skipped, zero.skipped) == (2, 0)
    skip, neg = (
        peers.torchmetrics_class("RetrievalMAP", given, empty_target_action=action)
        for action in ("skip", "neg")
    )
    assert out.metrics["map"] == pytest.approx(skip, abs=FLOAT32)
    assert zero.metrics["map"] == pytest.approx(neg, abs=FLOAT32)
    assert zero.metrics["map"] == pytest.approx(peers.ranx_lone("map", given), abs=EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_several_labels_are_compared_as_theirs_are(seed):
    given = peers.Data(peers.several_labels(peers.clusters(seed, SIZES)))
    sets = {
        row.metric: (row.name, row.options) for row in script.ROWS if row.peer is peers.sklearn_neighbours
    }
    assert len(sets) == 5
    wanted = theirs(peers.sklearn_neighbours, given, sets)
    wanted |= theirs(peers.sklearn_ranking, given, {"map": SKLEARN["map"]})
    graded = {f"ndcg_graded_at_{k}": (f"ndcg@{k}", {}) for k in CUT_OFFS}
    graded |= {f"ndcg_graded_exp_at_{k}": (f"ndcg_burges@{k}", {}) for k in CUT_OFFS}
    wanted |= theirs(peers.ranx, given, graded)
    assert ours(given, wanted).metrics == pytest.approx(wanted, abs=EXACT)


@pytest.mark.parametrize("row", script.AGREEMENTS, ids=lambda row: f"{row.metric}-{row.name}")
def test_rows_that_should_agree_do(row):
    found, wanted = row.numbers()
    assert found == pytest.approx(wanted, abs=script.SAME)


@pytest.mark.parametrize("row", script.DIFFERENCES, ids=lambda row: f"{row.metric}-{row.name}")
def test_rows_that_should_differ_do(row):
    """One that agrees has lost its reason: the other library changed, or ours did."""
    found, wanted = row.numbers()
    assert wanted == "TypeError" or abs(found - wanted) > 100 * script.SAME


def test_the_reasons_for_small_cut_offs_and_votes_are_the_whole_difference():
    """PML with k = 5 divides by min(R, 5) and R; scikit-learn's vote goes to the smallest class."""
    given = peers.untied()
    similarities, gains = peers.ranking(given)
    order = (-similarities).argsort(axis=1)
    hits = np.take_along_axis(gains, order, axis=1)[:, :5]
    relevant = gains.sum(axis=1)
    counted = hits * (np.arange(5) < relevant[:, None])
    wanted = (counted.sum(axis=1) / np.minimum(relevant, 5)).mean()
    assert peers.pml("r_precision", given, k=5) == pytest.approx(wanted, abs=EXACT)
    precision = counted * counted.cumsum(axis=1) / np.arange(1, 6)
    wanted = (precision.sum(axis=1) / relevant).mean()
    assert peers.pml("mean_average_precision_at_r", given, k=5) == pytest.approx(wanted, abs=EXACT)

    given = peers.halves()
    nearest = peers.squared_distances(given).argsort(axis=1)[:, :5]
    votes = [np.bincount(row).argmax() for row in given.gallery.labels[nearest]]
    wanted = (votes == given.queries.labels).mean()
    assert peers.sklearn_classifier("KNeighborsClassifier", given) == pytest.approx(wanted, abs=EXACT)


def test_the_table_is_put_between_its_marks_and_nowhere_else():
    page = f"before\n{script.START}\nold\n{script.END}\nafter\n"
    once = script.written(page, "new")
    assert once == f"before\n{script.START}\n\nnew\n\n{script.END}\nafter\n"
    assert script.written(once, "new") == once
    with pytest.raises(ValueError, match="unpack"):
        script.written("a page without marks", "new")
