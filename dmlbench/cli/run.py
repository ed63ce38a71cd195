"""`dmlbench run`: methods to records."""

from __future__ import annotations

import functools
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import click


class Seeds(click.ParamType):
    """`0-9`, `3` or `0,2,5-7`."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        seeds: list[int] = []
        for part in str(value).split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
                self.fail(f"{value!r} is not of the form 0-9 or 0,2,5", param, ctx)
            seeds += range(int(first), int(last or first) + 1)
        return list(dict.fromkeys(seeds))


@click.command("run")
@click.argument("methods", nargs=-1, required=True, metavar="METHOD...")
@click.option("--protocol", help="[default: the task's]")
@click.option("--task", help="[default: the protocol's; without one, emoji]")
@click.option("--track", help="[default: the task's]")
@click.option(
    "--profile", type=click.Choice(["smoke", "quick", "ranked"]), default="quick", show_default=True
)
@click.option("--seeds", type=Seeds(), help="E.g. 0-9 [default: the profile's number, from 0].")
@click.option(
    "--score-test", is_flag=True, help="Score the sealed test classes whatever the profile; recorded."
)
@click.option(
    "--noise",
    "noises",
    multiple=True,
    metavar="NAME",
    help="One of the protocol's kinds of label noise; can be repeated [default: all of them].",
)
@click.option(
    "--noise-list",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A published list of wrong labels, `path,label` lines, instead of a kind of noise.",
)
@click.option("--set", "changes", multiple=True, metavar="COMPONENT.SETTING=VALUE", help="Preview only.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time [default: all cores; 1 on a GPU].")
@click.option("--numerics", help="cpu-fp32, cpu-bf16, cuda-fp32 or cuda-bf16 [default: the best here].")
@click.option(
    "--stall-minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="End a run that makes no step for so long [default: 10].",
)
@click.option(
    "--memory-gib",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Memory that one run may take [default: an equal share of nine tenths].",
)
@click.option("--fresh", is_flag=True, help="Run again; earlier runs are moved to OUT/.old.")
@click.option("--json", "as_json", is_flag=True, help="Print the list of records.")
def command(
    methods: tuple[str, ...],
    protocol: str | None,
    task: str | None,
    track: str | None,
    profile: Any,
    seeds: list[int] | None,
    score_test: bool,
    noises: tuple[str, ...],
    noise_list: Path | None,
    changes: tuple[str, ...],
    out: Path,
    jobs: int | None,
    numerics: str | None,
    stall_minutes: float | None,
    memory_gib: float | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Train and score each METHOD: a method, a loss, ./file.py:function, ./method.toml, or a+b.

    Records that exist already, in OUT or in ./leaderboards, are not made again; an interrupted command
    continues when it is issued again. A run that fails, hangs or takes too much memory ends alone: its record
    names the component. Exit status: 0 all well, 1 some runs failed, 2 wrong usage.

    \b
    Example:
      dmlbench run multi-similarity contrastive --seeds 0-2
    """
    from dmlbench.cli.data import on_one_line
    from dmlbench.protocols import load_protocol
    from dmlbench.results import store
    from dmlbench.run.display import display
    from dmlbench.run.home import ready
    from dmlbench.run.limits import limits_for
    from dmlbench.run.local import run_all
    from dmlbench.run.planner import in_waves, plan
    from dmlbench.run.precheck import precheck

    runs = plan(
        methods,
        protocol=protocol,
        task=task or load_protocol(protocol or "zero-shot/v1").task,
        track=track,
        profile=profile,
        seeds=seeds,
        changes=changes,
        score_test=score_test,
        numerics=numerics,
        noises=noises,
        noise_list=noise_list,
    )
    boards = Path("leaderboards")

    @functools.cache
    def committed(run_key: str, scored: str) -> Any:
        return None if fresh or not boards.is_dir() else store.find(boards, run_key, scored)

    on_gpu = not runs[0].spec.numerics.startswith("cpu")
    at_a_time = jobs or (1 if on_gpu else _cores())
    limits = limits_for(stall_minutes, memory_gib, at_a_time=min(at_a_time, len(runs)), on_gpu=on_gpu)
    folder, waves = Path(), [runs]
    # Runs whose records are committed need neither the data nor their components.
    if todo := [planned for planned in runs if committed(planned.spec.key, planned.scored) is None]:
        progress = on_one_line("{0:,} of {1:,} pictures")
        data = ready(runs[0].spec.task, runs[0].spec.track.images, progress=progress)
        *before, _ = in_waves(todo)
        waves = [*before, runs]
        precheck([*itertools.chain(*before), *todo], data, out, fresh=fresh, limits=limits)
        folder = data.folder
    with display(sum(map(len, waves))) as observer:
        records = run_all(
            waves,
            folder,
            out,
            jobs=at_a_time,
            observer=observer,
            committed=committed,
            limits=limits,
            fresh=fresh,
        )
    if as_json:
        click.echo(
            json.dumps([record.model_dump(mode="json") for record in records], indent=1, sort_keys=True)
        )
    else:
        click.echo(_tables(records, runs[0].spec.protocol.metrics))
    if any(record.outcome.status == "failed" for record in records):
        sys.exit(1)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tables(records: list[Any], metrics: tuple[str, ...]) -> str:
    """A table a task: with label noise, each kind of noise makes one."""
    tasks = dict.fromkeys(record.task for record in records)
    return "\n\n".join(_table([r for r in records if r.task == task], metrics) for task in tasks)


def _table(records: list[Any], metrics: tuple[str, ...]) -> str:
    """A row a method: the mean over its seeds, with the 95 % interval where there are two or more."""
    from tabulate import tabulate

    from dmlbench.results.statistics import summarise

    done: dict[str, list[Any]] = {}
    for record in records:
        if record.outcome.status == "ok":
            done.setdefault(record.method, []).append(record)
    if not done:
        return "no run ended well"
    more = sorted(
        {name for group in done.values() for record in group for name in record.metrics} - {*metrics}
    )
    columns = [*metrics, *more]
    rows = []
    for method, group in done.items():
        row = [method.removeprefix("dmlbench:"), len(group)]
        for metric in columns:
            if any(metric not in record.metrics for record in group):
                row.append("")
                continue
            summary = summarise([record.metrics[metric] for record in group])
            spread = f" ± {summary.half_width:.4f}" if summary.half_width is not None else ""
            row.append(f"{summary.mean:.4f}{spread}")
        rows.append(row)
    first = records[0]
    head = f"{first.protocol}, {first.task}, {first.track}, {first.profile}, scored on {first.scored} classes"
    return head + "\n" + tabulate(rows, headers=["method", "seeds", *columns], disable_numparse=True)
