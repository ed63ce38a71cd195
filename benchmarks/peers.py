"""One set of embeddings, scored by dmlbench and by other libraries under the same or a like name.

Prints a table: which numbers are the same, which are not, and why. Embeddings are whole numbers, so that
every library has the same distances to the last bit, and all that is left are definitions.

    python benchmarks/peers.py [--write]

`--write` replaces the table in docs/metrics.md. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peer_libraries import (
    PREFIX,
    Data,
    Peer,
    halves,
    labelled,
    our_number,
    pml,
    ranx,
    ranx_lone,
    shortcut,
    sklearn_classifier,
    sklearn_clustering,
    sklearn_lone,
    sklearn_neighbours,
    sklearn_pairs,
    sklearn_predictions,
    sklearn_ranking,
    tied,
    torchmetrics,
    torchmetrics_class,
    torchmetrics_cosine,
    torchmetrics_inside,
    torchmetrics_negative,
    torchmetrics_pairs,
    untied,
)

from dmlbench.files import write_text

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
START, END = "<!-- peers: python benchmarks/peers.py --write -->", "<!-- end of peers -->"
HEADER = "| metric | ours | peer | peer's number | difference | why |\n|---|---|---|---|---|---|"

#: A smaller difference is rounding: some peers work in float32.
SAME = 1e-6


@dataclass(frozen=True)
class Row:
    """A metric of ours and one of a peer; nothing is computed before `numbers`."""

    metric: str
    peer: Peer
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    why: str = "same formula"
    ours: Mapping[str, Any] = field(default_factory=dict)
    data: Callable[[], Data] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What names the row: the first and the third cell."""
        remark = self.given().remark
        ours = ", ".join([f"`{self.metric}`", *_listed(self.ours), *([remark] if remark else [])])
        return ours, ", ".join([f"{PREFIX[self.peer]} `{self.name}`", *_listed(self.options)])

    def given(self) -> Data:
        return (self.data or untied)()

    def numbers(self) -> tuple[float, float | str]:
        """Ours and theirs."""
        given = self.given()
        return our_number(self.metric, given, **self.ours), self.peer(self.name, given, **self.options)

    def cells(self) -> list[str]:
        ours, theirs = self.numbers()
        metric, peer = self.key
        if isinstance(theirs, str):
            return [metric, f"{ours:.6f}", peer, theirs, "", self.why]
        difference = theirs - ours
        shown = "0" if abs(difference) < SAME else f"{difference:+.6f}"
        return [metric, f"{ours:.6f}", peer, f"{theirs:.6f}", shown, self.why]


def _listed(options: Mapping[str, Any]) -> list[str]:
    shown = {name: f'"{value}"' if isinstance(value, str) else value for name, value in options.items()}
    return [f"`{name}={value}`" for name, value in shown.items()]


# Rows: metric, peer, the peer's name for it, and its options

WHOLE, TEN, LIKE_SETS = {"k": "max_bin_count"}, {"top_k": 10}, {"average": "samples", "zero_division": 0}
EXPECTED, ZERO = {"ties": "expected"}, {"lone": "zero"}
ADAPTIVE = {"top_k": 300, "adaptive_k": True}
AP, NDCG, MAP_AT_R = "retrieval_average_precision", "retrieval_normalized_dcg", "mean_average_precision_at_r"

OVER_R, OVER_HITS = "over R", "over the positives found"
ALL_ORDERS, GIVEN_ORDER = "the mean over all orders of a tie", "ties in the order given"
LONE = "the lone query scores 0"
FIVE = "on the same five clusterings"

AGREEMENTS = [
    Row("recall_at_1", pml, "precision_at_1", WHOLE),
    Row("recall_at_4", torchmetrics, "retrieval_hit_rate", {"top_k": 4}),
    Row("recall_at_4", ranx, "hit_rate@4"),
    Row("precision_at_4", torchmetrics, "retrieval_precision", {"top_k": 4}),
    Row("precision_at_4", ranx, "precision@4"),
    Row("r_precision", pml, "r_precision", WHOLE),
    Row("r_precision", torchmetrics, "retrieval_r_precision"),
    Row("r_precision", ranx, "r-precision"),
    Row("map_at_r", pml, MAP_AT_R, WHOLE),
    Row("map_at_r", pml, MAP_AT_R, WHOLE | {"avg_of_avgs": True}, ours={"average": "class"}),
    Row("map", pml, "mean_average_precision", {"k": None}),
    Row("map", torchmetrics, AP),
    Row("map", ranx, "map"),
    Row("map", sklearn_ranking, "average_precision_score", why="one call a query"),
    Row("map", torchmetrics_class, "RetrievalMAP", {"empty_target_action": "skip"}),
    Row("map", torchmetrics_class, "RetrievalMAP", why=f"its default: {LONE}", ours=ZERO),
    Row("map", ranx_lone, "map", why=LONE, ours=ZERO),
    Row("map", ranx, "map", why=GIVEN_ORDER, ours={"ties": "stable"}, data=tied),
    Row("map_at_10", pml, "mean_average_precision", {"k": 10}, OVER_R),
    Row("map_at_10", ranx, "map@10", why=OVER_R),
    Row("map_hits_at_10", torchmetrics, AP, TEN, OVER_HITS),
    Row("ndcg_at_10", torchmetrics, NDCG, TEN),
    Row("ndcg_at_10", ranx, "ndcg@10"),
    Row("ndcg_at_10", sklearn_ranking, "ndcg_score", {"k": 10}),
    Row("ndcg_at_10", sklearn_ranking, "ndcg_score", {"k": 10}, ALL_ORDERS, EXPECTED, tied),
    Row("ndcg_at_10", torchmetrics, NDCG, TEN, ALL_ORDERS, EXPECTED, tied),
    Row("mrr", pml, "mean_reciprocal_rank", {"include": ("mean_reciprocal_rank", "precision_at_1")}),
    Row("mrr", torchmetrics, "retrieval_reciprocal_rank"),
    Row("mrr", ranx, "mrr"),
    Row("ndcg_graded_at_5", ranx, "ndcg@5", why="gain g", data=labelled),
    Row("ndcg_graded_at_5", sklearn_ranking, "ndcg_score", {"k": 5}, "gain g", data=labelled),
    Row("ndcg_graded_at_5", torchmetrics, NDCG, {"top_k": 5}, "gain g", data=labelled),
    Row("ndcg_graded_exp_at_5", ranx, "ndcg_burges@5", why="gain 2^g - 1", data=labelled),
    Row("label_accuracy_at_5", sklearn_neighbours, "jaccard_score", LIKE_SETS, data=labelled),
    Row("label_precision_at_5", sklearn_neighbours, "precision_score", LIKE_SETS, data=labelled),
    Row("label_recall_at_5", sklearn_neighbours, "recall_score", LIKE_SETS, data=labelled),
    Row("label_f1_at_5", sklearn_neighbours, "f1_score", LIKE_SETS, data=labelled),
    Row("hamming_loss_at_5", sklearn_neighbours, "hamming_loss", data=labelled),
    Row("class_mean_accuracy", sklearn_classifier, "NearestCentroid", ours=ZERO, data=halves),
    Row("nmi", sklearn_clustering, "normalized_mutual_info_score", why=FIVE),
    Row("ami", sklearn_clustering, "adjusted_mutual_info_score", why=FIVE),
    Row("pairwise_f1", sklearn_clustering, "pair_confusion_matrix", why=FIVE),
    Row("roc_auc", sklearn_pairs, "roc_auc_score"),
    Row("roc_auc", torchmetrics_inside, "binary_auroc"),
    Row("accuracy", sklearn_predictions, "accuracy_score"),
    Row("macro_f1", sklearn_predictions, "f1_score", {"average": "macro", "zero_division": 0}),
    Row("mean_class_accuracy", sklearn_predictions, "balanced_accuracy_score"),
]

SHARE = "information retrieval's recall: the share of the positives that is found"
NOT_RETRIEVED = "an item whose score is not above 0 counts as not retrieved"
BEYOND = "an item at 90° or more counts as not retrieved, and is left out of the divisor"
SIGMOID = "scores outside 0 to 1 go through a sigmoid: far pairs all become 0, one tie"
ONE_KMEANS = "one k-means of 20 iterations; ours is the mean of five of 100"
ONE_THRESHOLD = "a tie is one threshold: its positives have the precision at its end"
NEAREST_VOTE = "of equal votes the smallest class id wins; with us the nearest item's class"
TOO_FEW = "five neighbours are looked at, fewer than R"

DIFFERENCES = [
    Row("recall_at_4", torchmetrics, "retrieval_recall", {"top_k": 4}, SHARE),
    Row("recall_at_4", ranx, "recall@4", why=SHARE),
    Row("precision_at_4", torchmetrics_negative, "retrieval_precision", {"top_k": 4}, NOT_RETRIEVED),
    Row("map", torchmetrics_negative, AP, why=NOT_RETRIEVED),
    Row("mrr", torchmetrics_negative, "retrieval_reciprocal_rank", why=NOT_RETRIEVED),
    Row("map", torchmetrics_cosine, AP, why=BEYOND, ours={"distance": "cosine"}),
    Row("precision_at_300", torchmetrics, "retrieval_precision", ADAPTIVE, "over the 202 items there are"),
    Row("map_at_10", torchmetrics, AP, TEN, f"{OVER_HITS}, not over R"),
    Row("map_min_at_10", ranx, "map@10", why=f"{OVER_R}, not over min(R, 10)"),
    Row("r_precision", pml, "r_precision", {"k": 5}, f"{TOO_FEW}, and the divisor is min(R, 5)"),
    Row("map_at_r", pml, MAP_AT_R, {"k": 5}, f"{TOO_FEW}, and the divisor is R"),
    Row("mrr", pml, "mean_reciprocal_rank", why="asked for alone; with another metric it works"),
    Row("nmi", pml, "NMI", why=ONE_KMEANS),
    Row("ami", pml, "AMI", why=ONE_KMEANS),
    Row("map", ranx_lone, "map", why=f"{LONE}, and counts"),
    Row("ndcg_at_10", sklearn_lone, "ndcg_score", {"k": 10}, f"{LONE}, and counts"),
    Row("map_at_r", pml, MAP_AT_R, WHOLE, "ties as its search leaves them", data=tied),
    Row("map", ranx, "map", why=GIVEN_ORDER, data=tied),
    Row("map", sklearn_ranking, "average_precision_score", {}, ONE_THRESHOLD, EXPECTED, tied),
    Row("ndcg_at_10", sklearn_ranking, "ndcg_score", {"k": 10}, f"{ALL_ORDERS}; ours is one", data=tied),
    Row("recall_at_1", shortcut, "topk(1 + K)[:, 1:]", why="behind a copy the query finds itself", data=tied),
    Row("ndcg_graded_at_5", ranx, "ndcg_burges@5", why="gain 2^g - 1, not g", data=labelled),
    Row("knn_accuracy_at_5", sklearn_classifier, "KNeighborsClassifier", {}, NEAREST_VOTE, ZERO, halves),
    Row("roc_auc", torchmetrics_pairs, "binary_auroc", why=SIGMOID),
    Row("eer", torchmetrics_inside, "binary_eer", why="the point nearest to FAR = FRR, no straight line"),
]

ROWS = [*AGREEMENTS, *DIFFERENCES]


def table(rows: list[Row]) -> str:
    """In Markdown."""
    return "\n".join([HEADER, *(f"| {' | '.join(row.cells())} |" for row in rows)])


def tables() -> str:
    """What stands between the marks on the page."""
    return f"The same number:\n\n{table(AGREEMENTS)}\n\nAnother number:\n\n{table(DIFFERENCES)}"


def written(page: str, made: str) -> str:
    """The page with what is between its two marks replaced."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{made}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="replace the table in docs/metrics.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = tables()
    if arguments.write:
        write_text(PAGE, written(PAGE.read_text(encoding="utf-8"), made))
    print(made)


if __name__ == "__main__":
    main()
