"""Nearest items by faiss, as ranks: a second search, written by others, that gives the same numbers.

It works in float32, so ranks differ where two similarities differ by the rounding of a product.

faiss finds the first k items of each query; positives beyond them have no rank, so only metrics that look no
further can be scored. Ties at the cut are asked for again with a larger k, then settled by the column.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.errors import UsageError
from dmlbench.score.distance import unit
from dmlbench.score.faiss_library import faiss
from dmlbench.score.memory import Plan
from dmlbench.score.places import NO_RANK, Ranks, by_rank
from dmlbench.score.ranks import Block, Problem, Ranked, copied

# Asked for beyond what is needed, so that a tie at the cut is seen.
_SLACK = 8


def check_faiss(ties: str, distance: str) -> None:
    """Raise `UsageError` for what faiss cannot answer, `MissingPackageError` where it is not installed."""
    faiss()
    if ties not in ("permuted", "stable"):
        raise UsageError(
            f"faiss does not say how many items are tied, which ties={ties!r} needs",
            way_out="backend='torch'",
        )
    if distance == "poincare":
        raise UsageError("faiss knows no Poincaré distance", way_out="backend='torch'")


def rank_blocks_by_faiss(problem: Problem, plan: Plan, depth: int) -> Iterator[Block]:
    """As `rank_blocks`, with ranks of at most `depth`; those beyond are `NO_RANK`."""
    own = problem.own_columns
    gallery = _prepared(copied(problem.gallery, problem.order, torch.float32), plan.distance)
    depth = min(depth, len(gallery))
    for start in range(0, len(problem.queries), plan.height):
        rows = slice(start, min(start + plan.height, len(problem.queries)))
        own_columns = None if own is None else own[rows]
        points = _prepared(problem.queries[rows].float(), plan.distance)
        columns = _first(points, gallery, own_columns, depth, plan.distance)
        place = torch.arange(1, depth + 1, device=columns.device).expand_as(columns)
        rank = columns.new_full((len(columns), len(gallery)), NO_RANK).scatter_(1, columns, place)
        ranked = []
        for relevance in problem.relevances:
            positives = relevance.positives(rows, own_columns)
            others = () if positives.shared is None else (positives.columns, positives.shared)
            ranks = rank.gather(1, positives.columns).masked_fill_(~positives.valid, NO_RANK)
            ranks, *others = by_rank(ranks, *others)
            places = Ranks(ranks, positives.valid.sum(dim=1))
            ranked.append(Ranked(places, relevance.overlap(rows, *others) if others else None))
        nearest = problem.order[columns[:, : problem.neighbours]] if problem.neighbours else None
        yield Block(rows, tuple(ranked), nearest)


def _prepared(rows: Float[Tensor, "row dim"], distance: str) -> Float[Tensor, "row dim"]:
    if distance == "hamming":
        return rows.masked_fill(rows == 0, -1)
    return unit(rows) if distance == "cosine" else rows


def _first(
    queries: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "gallery dim"],
    own: Int[Tensor, " query"] | None,
    depth: int,
    distance: str,
) -> Int[Tensor, "query nearest"]:
    """The first `depth` columns of each query's ranking, ties by column; its own column comes last."""
    found = torch.empty(len(queries), depth, dtype=torch.int64, device=queries.device)
    pending = torch.arange(len(queries), device=queries.device)
    wanted = depth + _SLACK
    while len(pending):
        wanted = min(wanted, len(gallery))
        similarity, columns = _search(queries[pending], gallery, wanted, distance)
        if own is not None:
            similarity = similarity.masked_fill(columns == own[pending, None], -torch.inf)
        by_column = columns.argsort(dim=1)
        order = by_column.gather(
            1, similarity.gather(1, by_column).argsort(dim=1, descending=True, stable=True)
        )
        columns, similarity = columns.gather(1, order), similarity.gather(1, order)
        # The last one found is another's tie: there may be more of them.
        last = similarity.masked_fill(similarity == -torch.inf, torch.inf).amin(dim=1)
        cut = (similarity[:, depth - 1] <= last) & (wanted < len(gallery))
        found[pending[~cut]] = columns[~cut, :depth]
        pending = pending[cut]
        wanted *= 4
    return found


def _search(
    queries: Float[Tensor, "query dim"], gallery: Float[Tensor, "gallery dim"], k: int, distance: str
) -> tuple[Float[Tensor, "query nearest"], Int[Tensor, "query nearest"]]:
    library = faiss()
    metric = library.METRIC_L2 if distance == "euclidean" else library.METRIC_INNER_PRODUCT
    arrays = queries.contiguous().cpu().numpy(), gallery.cpu().numpy()
    if queries.device.type == "cuda" and hasattr(library, "StandardGpuResources"):
        values, columns = library.knn_gpu(library.StandardGpuResources(), *arrays, k, metric=metric)
    else:
        threads = library.omp_get_max_threads()
        library.omp_set_num_threads(torch.get_num_threads())
        try:
            values, columns = library.knn(*arrays, k, metric=metric)
        finally:
            library.omp_set_num_threads(threads)
    similarity = torch.from_numpy(-values if distance == "euclidean" else values)
    return similarity.to(queries.device), torch.from_numpy(columns).to(queries.device)
