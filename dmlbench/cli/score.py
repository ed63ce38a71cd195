"""`dmlbench score`: retrieval metrics of embeddings in files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dmlbench import __version__
from dmlbench.errors import UsageError

if TYPE_CHECKING:
    from dmlbench.score.memory import Plan

#: The names of `dmlbench.score.DISTANCES` and `dmlbench.score.ties.TIES`, written out so that `--help` loads
#: no torch; a test compares them.
DISTANCES = ("cosine", "euclidean", "poincare", "hamming")
TIES = ("permuted", "stable", "expected", "pessimistic")

# Pairs of query and item from which a bar shows how far the ranking is.
_LONG = 10**9


@click.command("score")
@click.argument("embeddings")
@click.option("--labels", required=True, metavar="FILE", help="Class ids, or a row of 0 and 1 for each item.")
@click.option("--gallery", metavar="FILE", help="What is searched; without it, the other embeddings.")
@click.option("--gallery-labels", metavar="FILE", help="Labels of the gallery.")
@click.option("--union", is_flag=True, help="The gallery begins with the queries.")
@click.option("--level", "levels", multiple=True, metavar="NAME=FILE", help="Coarser class ids of the items.")
@click.option("--metrics", metavar="NAMES", help="Separated by commas, e.g. recall_at_1,map_at_r,nmi.")
@click.option("--distance", type=click.Choice(DISTANCES), default="cosine", show_default=True)
@click.option("--curvature", type=float, default=1.0, show_default=True, help="Of the Poincaré ball.")
@click.option("--bits", type=click.IntRange(1), help="Score binary codes of so many bits (ITQ, Hamming).")
@click.option("--ties", type=click.Choice(TIES), help="Default: permuted; expected for binary codes.")
@click.option("--lone", type=click.Choice(["excluded", "zero"]), default="excluded", show_default=True)
@click.option("--average", type=click.Choice(["query", "class"]), default="query", show_default=True)
@click.option("--backend", type=click.Choice(["torch", "faiss"]), default="torch", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    embeddings: str,
    labels: str,
    gallery: str | None,
    gallery_labels: str | None,
    union: bool,
    levels: tuple[str, ...],
    metrics: str | None,
    distance: str,
    curvature: float,
    bits: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score EMBEDDINGS by retrieval, exactly.

    Files are .npy, .npz or .safetensors; write PATH:KEY where a file holds several arrays.

    \b
    Example:
      dmlbench score test.safetensors:embeddings --labels test.safetensors:labels
      dmlbench score sketches.npy --labels s.npy --gallery photos.npy --gallery-labels p.npy --bits 64
    """
    import torch

    from dmlbench.score.read import read_array
    from dmlbench.score.scores import score

    queries = read_array(embeddings)
    items = None if gallery is None else read_array(gallery)
    if union and gallery is None:
        raise UsageError("--union speaks of a gallery", way_out="--gallery FILE")
    if gallery is not None and levels:
        raise UsageError("--level is for the form without a gallery", way_out="dmlbench.api.score(levels=…)")
    if bits is not None and distance != "cosine":
        raise UsageError("--bits compares by the Hamming distance", way_out="leave --distance out")
    if len({_level(text)[0] for text in levels}) < len(levels):
        raise UsageError("a level is given twice", way_out="one --level NAME=FILE for each name")
    if bits is not None:
        from dmlbench.score.binary import fit_itq

        itq = fit_itq(queries if items is None else items, bits)
        queries, items = itq.codes(queries), None if items is None else itq.codes(items)
        distance = "hamming"
    with _Talk() as talk:
        scores = score(
            queries,
            read_array(labels),
            gallery=items,
            gallery_labels=None if gallery_labels is None else read_array(gallery_labels),
            own_rows=torch.arange(len(queries)) if union else None,
            levels={name: read_array(file) for name, file in map(_level, levels)},
            metrics=None if metrics is None else [name.strip() for name in metrics.split(",")],
            distance=distance,
            curvature=curvature,
            on_plan=talk.plan,
            on_progress=talk.progress,
            **options,
        )
    if as_json:
        answer = {
            "scorer": f"dmlbench/{__version__}",
            "queries": scores.queries,
            "skipped": scores.skipped,
            "distance": distance,
            "ties": scores.ties,
            "metrics": scores.metrics,
            "metric_versions": scores.metric_versions,
        }
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    from tabulate import tabulate

    click.echo(tabulate(scores.metrics.items(), headers=("metric", "value"), floatfmt=".4f"))
    click.echo(f"{scores.queries} queries, {scores.skipped} skipped (no positive in the gallery)", err=True)


def _level(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not (name.isidentifier() and equals and file):
        raise UsageError(f"--level {text!r}: expected NAME=FILE", way_out="--level alphabet=alphabets.npy")
    return name, file


class _Talk:
    """Says on stderr what is about to be done, and shows a bar on a terminal when it takes long."""

    def __enter__(self) -> _Talk:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._shown = False
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            self._bar.stop()

    def plan(self, plan: Plan) -> None:
        click.echo(str(plan), err=True)
        if plan.queries * plan.gallery >= _LONG and self._bar.console.is_terminal:
            self._shown = True
            self._bar.start()
            self._task = self._bar.add_task("queries", total=plan.queries)

    def progress(self, queries: int) -> None:
        if self._shown:
            self._bar.update(self._task, completed=queries)
