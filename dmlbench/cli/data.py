"""`dmlbench data`: preparing and verifying data sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.group("data")
def command() -> None:
    """Prepare and verify data sets."""


@command.command("prepare")
@click.argument("task")
@click.option(
    "--from", "root", type=click.Path(path_type=Path), help="Folder that holds the data set's own files."
)
@click.option("--download", is_flag=True, help="Fetch the files from where their authors publish them.")
@click.option("--no-check", is_flag=True, help="Accept files whose checksum or fingerprint is another.")
@click.option("--allow-partial", is_flag=True, help="Leave unreadable pictures out, and list them.")
@click.option("--track", help="Prepare for the image size of this track [default: the task's].")
def prepare(
    task: str, root: Path | None, download: bool, no_check: bool, allow_partial: bool, track: str | None
) -> None:
    """Decode the pictures of TASK once, for all runs.

    \b
    Example:
      dmlbench data prepare omniglot --from ~/omniglot
    """
    from dmlbench.data.download import download as fetch
    from dmlbench.errors import UsageError
    from dmlbench.protocols import load_track
    from dmlbench.run.home import data_home, dataset_of, ready
    from dmlbench.run.tasks import is_own, task_named

    the_task = task_named(task, progress=_on_one_line("{0:,} of {1:,} files read"))
    if is_own(the_task) and (root or download):
        raise UsageError(f"{task} says where its files are", way_out=f"dmlbench data prepare {task}")
    images = load_track(track or the_task.track).images
    if download:
        root = root or data_home() / "downloads" / the_task.id
        fetch(dataset_of(the_task), root, check=not no_check, progress=_on_one_line("{0}: {1:,} bytes"))
    data = ready(
        the_task,
        images,
        root=root,
        check=not no_check,
        allow_partial=allow_partial,
        progress=_on_one_line("{0:,} of {1:,} pictures"),
    )
    size = f"{images.size} x {images.size}"
    click.echo(f"{the_task.id}: {data.images.shape[0]:,} pictures of {size} in {data.folder}")
    for path in data.left_out:
        click.echo(f"left out: {path}", err=True)


@command.command("verify")
@click.argument("task")
@click.option("--track", help="The image size to verify [default: that of the task's track].")
def verify(task: str, track: str | None) -> None:
    """Check that the prepared pictures of TASK are still what was written."""
    from dmlbench.protocols import load_track
    from dmlbench.run.home import ready
    from dmlbench.run.tasks import task_named

    the_task = task_named(task)
    data = ready(the_task, load_track(track or the_task.track).images)
    data.verify()
    click.echo(f"{the_task.id}: {data.images.shape[0]:,} pictures, fingerprint {data.fingerprint}")


def _on_one_line(form: str) -> Callable[..., None]:
    """A callback that keeps one line of a terminal up to date, and is silent elsewhere."""

    def show(*values: Any) -> None:
        if sys.stderr.isatty():
            click.echo("\r" + form.format(*values) + "\x1b[K", nl=False, err=True)

    return show
