"""`dmlbench score`: retrieval metrics of embeddings in files."""

from __future__ import annotations

import json

import click
from tabulate import tabulate

from dmlbench import __version__

#: The names of `dmlbench.score.DISTANCES`, written out so that `--help` loads no torch; a test compares them.
DISTANCES = ("cosine", "euclidean", "poincare")


@click.command("score")
@click.argument("embeddings")
@click.option("--labels", required=True, metavar="FILE", help="Whole numbers, one for each embedding.")
@click.option("--gallery", metavar="FILE", help="What is searched; without it, the other embeddings.")
@click.option("--gallery-labels", metavar="FILE", help="Whole numbers, one for each gallery item.")
@click.option("--metrics", metavar="NAMES", help="Separated by commas, e.g. recall_at_1,map_at_r.")
@click.option("--distance", type=click.Choice(DISTANCES), default="cosine", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    embeddings: str,
    labels: str,
    gallery: str | None,
    gallery_labels: str | None,
    metrics: str | None,
    distance: str,
    as_json: bool,
) -> None:
    """Score EMBEDDINGS by retrieval, exactly.

    Files are .npy, .npz or .safetensors; write PATH:KEY where a file holds several arrays.

    \b
    Example:
      dmlbench score test.safetensors:embeddings --labels test.safetensors:labels
    """
    from dmlbench.score.read import read_array
    from dmlbench.score.scores import score

    scores = score(
        read_array(embeddings),
        read_array(labels),
        gallery=None if gallery is None else read_array(gallery),
        gallery_labels=None if gallery_labels is None else read_array(gallery_labels),
        metrics=None if metrics is None else [name.strip() for name in metrics.split(",")],
        distance=distance,
    )
    if as_json:
        answer = {
            "scorer": f"dmlbench/{__version__}",
            "queries": scores.queries,
            "skipped": scores.skipped,
            "metrics": scores.metrics,
        }
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    click.echo(tabulate(scores.metrics.items(), headers=("metric", "value"), floatfmt=".4f"))
    click.echo(f"{scores.queries} queries, {scores.skipped} skipped (no positive in the gallery)", err=True)
