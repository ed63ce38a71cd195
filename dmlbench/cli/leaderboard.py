"""`dmlbench leaderboard add|render|check`: from finished runs to tables that anyone can recompute."""

from __future__ import annotations

from pathlib import Path

import click

ROOT = click.argument(
    "root", default="leaderboards", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.group("leaderboard", short_help="Add records to leaderboards, render and check their tables.")
def command() -> None:
    """Leaderboards are files: a line of JSON a run, and tables rendered from them.

    \b
    Example: dmlbench leaderboard add runs && dmlbench leaderboard render
    """


@command.command("add")
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--to",
    "root",
    default="leaderboards",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The leaderboards to add to.",
)
def add(runs: tuple[Path, ...], root: Path) -> None:
    """Copy the record of every finished run found below RUNS, with its per-class sums.

    \b
    Example: dmlbench leaderboard add runs --to leaderboards

    Adding twice changes nothing. Failed runs are left out. A run that is there already with other numbers is
    not added and makes the exit code 1.
    """
    from dmlbench.errors import UsageError
    from dmlbench.protocols import is_ranked
    from dmlbench.results import layout, store
    from dmlbench.results.gather import run_entries

    entries = [entry for place in runs for entry in run_entries(place) if entry.record.outcome.status == "ok"]
    if not entries:
        raise UsageError(
            "no finished run was found", place=", ".join(map(str, runs)), way_out="dmlbench run METHOD"
        )
    differing = 0
    for entry in entries:
        record = entry.record
        done = store.add(root, record, frozen=is_ranked, sums=entry.sums())
        where = layout.board(root, record, frozen=is_ranked)
        what = f"{record.method} seed {record.seed} {record.profile}/{record.scored}"
        click.echo(f"{done}: {what} -> {where}")
        if done == "differs":
            differing += 1
            click.echo(f"{entry.source}: run {record.run_key} is there already, with other numbers", err=True)
    click.echo(f"next: dmlbench leaderboard render {root}", err=True)
    if differing:
        raise SystemExit(1)


@command.command("render")
@ROOT
@click.option("--primary", help="The metric that tables are sorted by [default: the protocol's].")
def render(root: Path, primary: str | None) -> None:
    """Write table.md and table.csv of every board below ROOT (default: leaderboards).

    \b
    Example: dmlbench leaderboard render leaderboards
    """
    from dmlbench.protocols import primary_of
    from dmlbench.results.boards import render_boards

    for path in render_boards(root, primary=primary or primary_of):
        click.echo(path)


@command.command("check")
@ROOT
@click.option("--primary", help="The metric that tables are sorted by [default: the protocol's].")
def check(root: Path, primary: str | None) -> None:
    """Say whether every record below ROOT (default: leaderboards) is sound and every table is made from them.

    \b
    Example: dmlbench leaderboard check leaderboards

    One line a problem; any problem makes the exit code 1.
    """
    from dmlbench.protocols import is_ranked, primary_of
    from dmlbench.results import check as checking

    report = checking.check(root, frozen=is_ranked, primary=primary or primary_of)
    for problem in report.problems:
        click.echo(f"{problem.place}: {problem.message}")
    counts = f"{report.boards} boards, {report.records} records, {report.struck} struck"
    click.echo(f"{counts}, {len(report.problems)} problems")
    if report.problems:
        raise SystemExit(1)
