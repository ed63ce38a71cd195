"""Every metric's values, from one pass over the products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmlbench.errors import UsageError
from dmlbench.score.clustering import clustering_scores
from dmlbench.score.distance import unit, working_dtype
from dmlbench.score.faiss_search import check_faiss, rank_blocks_by_faiss
from dmlbench.score.given import MAIN, Given
from dmlbench.score.memory import Plan, plan_blocks
from dmlbench.score.names import Metric
from dmlbench.score.places import Ranks
from dmlbench.score.ranks import Block, Problem, Ranked, rank_blocks

# Queries whose positives are looked up together.
_QUERIES = 1024


@dataclass(frozen=True)
class Settings:
    """How to search."""

    distance: str
    curvature: float
    ties: str
    tie_seed: int
    backend: str
    max_block_mib: int | None


@dataclass(frozen=True)
class Computed:
    """What was computed: values per query on the CPU, and single numbers."""

    names: tuple[str, ...]
    """In the order in which the metrics were asked for, levels after the labels themselves."""
    per_query: dict[str, Float[Tensor, " query"]]
    """NaN for a query without positives."""
    single: dict[str, float]
    has_positives: dict[str, Bool[Tensor, " query"]]
    """Of each level."""

    def with_lone_as_zero(self) -> Computed:
        """0 for queries without positives."""
        per_query = {
            name: values.masked_fill(~self.has_positives[level_of(name)], 0.0)
            for name, values in self.per_query.items()
        }
        return replace(self, per_query=per_query)


def level_of(name: str) -> str:
    """The level of `alphabet/recall_at_1`; that of a plain name is `MAIN`."""
    return name.rpartition("/")[0] or MAIN


def all_values(
    given: Given,
    chosen: Mapping[str, Metric],
    settings: Settings,
    on_plan: Callable[[Plan], None],
    on_progress: Callable[[int], None],
) -> Computed:
    """The chosen metrics of all levels. Ranking metrics share one pass over the products."""
    problem = Problem(
        given.queries,
        given.gallery,
        given.own,
        list(given.levels.values()),
        settings.curvature,
        settings.ties,
        settings.tie_seed,
        max((metric.k or 0 for metric in chosen.values() if metric.source == "neighbours"), default=0),
    )
    _check_neighbours(problem)
    queries = len(given.queries)
    columns = {
        f"{level}/{name}" if level else name: (index, metric)
        for index, level in enumerate(given.levels)
        for name, metric in chosen.items()
        if metric.source in ("places", "overlap", "neighbours") and (metric.source == "places" or not level)
    }
    per_query = {name: torch.full((queries,), torch.nan, dtype=torch.float64) for name in columns}
    has_positives = {level: torch.zeros(queries, dtype=torch.bool) for level in given.levels}
    for block in _blocks(problem, chosen, settings, on_plan) if columns else _lone_only(problem):
        relevant = [ranked.places.relevant > 0 for ranked in block.ranked]
        for level, found in zip(given.levels, relevant, strict=True):
            has_positives[level][block.rows] = found.cpu()
        for name, (index, metric) in columns.items():
            value = _value(metric, block, index, given).masked_fill_(~relevant[index], torch.nan)
            per_query[name][block.rows] = value.cpu()
        on_progress(block.rows.stop)
    single = _singles(given, chosen, settings)
    for name, metric in chosen.items():
        if metric.source == "means":
            values = metric(
                given.queries, given.labels[0], given.gallery, given.labels[1], given.own, settings.distance
            )
            per_query[name] = values.cpu().masked_fill_(~has_positives[MAIN], torch.nan)
    names = (*chosen, *(name for name in columns if name not in chosen))
    return Computed(names, per_query, single, has_positives)


def _blocks(
    problem: Problem, chosen: Mapping[str, Metric], settings: Settings, on_plan: Callable[[Plan], None]
) -> Iterator[Block]:
    largest = max(relevance.largest for relevance in problem.relevances)
    plan = plan_blocks(
        len(problem.queries),
        len(problem.gallery),
        problem.queries.shape[1],
        distance=settings.distance,
        dtype=working_dtype(settings.distance, problem.queries.dtype, problem.gallery.dtype),
        device=problem.queries.device,
        positives=largest,
        max_block_mib=settings.max_block_mib,
    )
    if settings.backend == "faiss":
        check_faiss(settings.ties, settings.distance)
        depth = _depth(chosen, largest)
        on_plan(plan)
        return rank_blocks_by_faiss(problem, plan, depth)
    on_plan(plan)
    return rank_blocks(problem, plan)


def _depth(chosen: Mapping[str, Metric], largest: int) -> int:
    """How far down the ranking the metrics look."""
    whole = [name for name, metric in chosen.items() if metric.source == "places" and metric.depth == "all"]
    if whole:
        raise UsageError(
            f"{', '.join(whole)}: the whole ranking is needed, and faiss finds its head",
            way_out="backend='torch', or metrics with a cut-off",
        )
    return max(largest if metric.depth == "r" else metric.k or 1 for metric in chosen.values())


def _lone_only(problem: Problem) -> Iterator[Block]:
    """Blocks that say which queries have positives, and rank nothing."""
    for start in range(0, len(problem.queries), _QUERIES):
        rows = slice(start, min(start + _QUERIES, len(problem.queries)))
        own = None if problem.own_columns is None else problem.own_columns[rows]
        positives = (relevance.positives(rows, own) for relevance in problem.relevances)
        ranked = (Ranked(Ranks(found.columns, found.valid.sum(dim=1)), None) for found in positives)
        yield Block(rows, tuple(ranked), None)


def _check_neighbours(problem: Problem) -> None:
    others = len(problem.gallery) - (problem.own is not None and bool((problem.own >= 0).any()))
    if problem.neighbours > others:
        raise UsageError(
            f"{problem.neighbours} neighbours are asked for, and a query has {others}", way_out="a smaller K"
        )


def _value(metric: Metric, block: Block, index: int, given: Given) -> Float[Tensor, " query"]:
    ranked = block.ranked[index]
    if metric.source == "neighbours":
        labels, items = given.labels
        return metric(labels[block.rows], items[block.neighbours])
    if metric.source == "overlap":
        return metric(ranked.places, ranked.overlap)
    return metric(ranked.places)


def _singles(given: Given, chosen: Mapping[str, Metric], settings: Settings) -> dict[str, float]:
    """Metrics of all queries' embeddings at once."""
    points = [name for name, metric in chosen.items() if metric.source == "points"]
    clustered = [name for name, metric in chosen.items() if metric.source == "clusters"]
    if not (points or clustered):
        return {}
    rows = given.queries.to(torch.promote_types(given.queries.dtype, torch.float32))
    placed = unit(rows) if settings.distance == "cosine" else rows
    single = {name: chosen[name](placed, given.labels[0]) for name in points}
    return single | (clustering_scores(placed, given.labels[0], clustered) if clustered else {})
