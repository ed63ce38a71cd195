"""`dmlbench compare A B`: is the difference between two methods real?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dmlbench.results.compare import Comparison, Difference

#: Looked through when no `--from` is given.
USUAL_PLACES = ("leaderboards", "runs")


@click.command("compare", short_help="Say whether the difference between two methods is real.")
@click.argument("a")
@click.argument("b")
@click.option("--protocol", help="Only results of this protocol, e.g. zero-shot/v1.")
@click.option("--task", help="Only results on this task.")
@click.option("--track", help="Only results on this track.")
@click.option(
    "--profile", type=click.Choice(["smoke", "quick", "ranked"]), help="Only results of this profile."
)
@click.option("--scored", type=click.Choice(["validation", "test"]), help="Only results on these classes.")
@click.option("--numerics", help="Only results with this arithmetic, e.g. cpu-bf16.")
@click.option(
    "--from",
    "places",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where records are: leaderboards or run folders. May be repeated. [default: ./leaderboards, ./runs]",
)
@click.option("--primary", help="The metric that the sentence is about [default: the protocol's].")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as one JSON object.")
def command(
    a: str, b: str, places: tuple[Path, ...], primary: str | None, as_json: bool, **wanted: str | None
) -> None:
    """Compare method A with method B, paired by seed.

    \b
    Example: dmlbench compare my-loss multi-similarity --profile quick

    A difference is real when an exact test over seeds and a bootstrap over classes both say so; otherwise it
    is undecided, which never means equal. Under 6 shared seeds there is no verdict. When one method has smoke
    runs that the other lacks, those are made first: half a minute. Longer runs are yours to start.
    """
    from dmlbench.cli import partner
    from dmlbench.errors import UsageError
    from dmlbench.protocols import primary_of
    from dmlbench.results.compare import compare
    from dmlbench.results.gather import gather, sums_of
    from dmlbench.results.select import resolve, select
    from dmlbench.run.tasks import task_named

    choices = {name: value for name, value in wanted.items() if value is not None}
    if ":" in choices.get("task", ""):  # own data, by its path
        choices["task"] = task_named(choices["task"]).id
    searched = list(places) or [Path(name) for name in USUAL_PLACES if Path(name).is_dir()]
    entries = gather(searched)
    # Where the user says where records are, what is there is all there is.
    if not places and (lack := partner.lacking(a, b, entries, choices)) and partner.make(*lack):
        entries = gather(Path(name) for name in USUAL_PLACES if Path(name).is_dir())
    if not entries:
        raise UsageError(
            "no results were found",
            place=", ".join(map(str, searched)) or "./" + " and ./".join(USUAL_PLACES),
            way_out=f"run a method first (dmlbench run {a}), or name a folder with --from",
        )
    methods = {entry.record.method for entry in entries}
    of_a, of_b = resolve(a, methods), resolve(b, methods)
    if of_a == of_b:
        raise UsageError(f"{a!r} and {b!r} are one method, {of_a}", way_out="name two methods")
    sides = [[entry for entry in entries if entry.record.method == method] for method in (of_a, of_b)]
    chosen = select(sides[0], sides[1], choices)
    for note in chosen.notes:
        click.echo(note, err=True)
    result = compare(
        [entry.record for entry in chosen.a],
        [entry.record for entry in chosen.b],
        sums=sums_of([*chosen.a, *chosen.b]),
        primary=primary or primary_of(chosen.a[0].record.protocol),
    )
    click.echo(_json(result) if as_json else f"{_table(result)}\n\n{sentence(result)}")


def sentence(result: Comparison) -> str:
    """What the primary metric's comparison comes to, in one sentence."""
    one = result.differences[0]
    count = f"{one.seeds} shared seed{'s' if one.seeds != 1 else ''}"
    size = f"{one.metric} {one.difference:+z.4f} over {count}"
    if one.verdict == "real":
        better, worse = (result.a, result.b) if one.difference > 0 else (result.b, result.a)
        return f"Real: {better} is better than {worse} ({size})."
    if one.verdict == "too few seeds":
        return f"No verdict: {result.a} against {result.b} has {count}, and 6 are needed ({size})."
    if one.verdict == "no class sums":
        return f"No verdict: the per-class sums are missing that the test over classes needs ({size})."
    if one.p_adjusted < 0.05:
        return f"Undecided: the seeds agree, but other test classes could turn the difference round ({size})."
    needed = "more than 100 seeds" if one.seeds_needed is None else f"about {one.seeds_needed} seeds in all"
    return f"Undecided: a difference like this one takes {needed} to be told from chance ({size})."


def _table(result: Comparison) -> str:
    from tabulate import tabulate

    head = ("metric", result.a, result.b, "difference", "classes", "seeds", "p", "verdict")
    rows = [_row(one) for one in result.differences]
    return tabulate(rows, head, tablefmt="simple", disable_numparse=True)


def _row(one: Difference) -> tuple[str, ...]:
    from dmlbench.results.rows import describe

    spread = "" if one.half_width is None else f" ± {one.half_width:.4f}"
    classes = "" if one.interval is None else "[{:+z.4f}, {:+z.4f}]".format(*one.interval)
    return (
        one.metric,
        f"{one.a:z.4f}",
        f"{one.b:z.4f}",
        f"{one.difference:+z.4f}{spread}",
        classes,
        str(one.seeds),
        f"{one.p:.4f}",
        describe(one),
    )


def _json(result: Comparison) -> str:
    import dataclasses
    import json

    return json.dumps({**dataclasses.asdict(result), "sentence": sentence(result)}, indent=1, allow_nan=False)
