"""`dmlbench data`: preparing and verifying data sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dmlbench.data.store import Prepared
    from dmlbench.data.verify import Findings
    from dmlbench.spec.track import ImagePipeline


@click.group("data")
def command() -> None:
    """Prepare and verify data sets."""


@command.command("prepare")
@click.argument("task")
@click.option(
    "--from", "root", type=click.Path(path_type=Path), help="Folder or archive of the data set's own files."
)
@click.option("--download", is_flag=True, help="Fetch the files from where their authors publish them.")
@click.option("--accept-terms", is_flag=True, help="Agree to the terms on which they are published.")
@click.option("--no-check", is_flag=True, help="Accept files whose checksum or fingerprint is another.")
@click.option("--allow-partial", is_flag=True, help="Leave unreadable pictures out, and list them.")
@click.option("--track", help="Prepare for the image size of this track [default: the task's].")
@click.option("--jobs", type=click.IntRange(1), help="Processes that decode at most [default: all cores].")
def prepare(
    task: str,
    root: Path | None,
    download: bool,
    accept_terms: bool,
    no_check: bool,
    allow_partial: bool,
    track: str | None,
    jobs: int | None,
) -> None:
    """Decode the pictures of TASK once, for all runs.

    TASK is a name (dmlbench list task), or data of your own: folder:PATH, csv:PATH or npz:PATH. With
    --download files go to the folder that --from names; a download that broke off is continued.

    \b
    Example:
      dmlbench data prepare omniglot --from ~/omniglot
    """
    from dmlbench.data.download import download as fetch
    from dmlbench.errors import UsageError
    from dmlbench.protocols import load_track
    from dmlbench.run.home import data_home, dataset_of, ready
    from dmlbench.run.tasks import is_own, task_named

    reading = on_one_line("{0:,} of {1:,} files read")
    the_task = task_named(task, progress=reading, allow_partial=allow_partial)
    if is_own(the_task) and (root or download):
        raise UsageError(f"{task} says where its files are", way_out=f"dmlbench data prepare {task}")
    images = load_track(track or the_task.track).images
    if download:
        root = root or data_home() / "downloads" / the_task.id
        if root.is_file():
            raise UsageError(f"{root} is a file", way_out="--download puts files into the folder of --from")
        fetch(
            dataset_of(the_task),
            root,
            check=not no_check,
            accept_terms=accept_terms,
            progress=on_one_line("{0}: {1:,} bytes"),
        )
    data = ready(
        the_task,
        images,
        root=root,
        check=not no_check,
        allow_partial=allow_partial,
        progress=on_one_line("{0:,} of {1:,} pictures"),
        unpacked=on_one_line("{0}: {1:,} bytes"),
        jobs=jobs,
    )
    click.echo(f"{the_task.id}: {_pictures(data, images)} in {data.folder}")
    for path in data.left_out:
        click.echo(f"left out: {path}", err=True)


@command.command("verify")
@click.argument("task")
@click.option("--track", help="The image size to verify [default: that of the task's track].")
@click.option("--from", "root", type=click.Path(path_type=Path), help="As for `prepare`, for a partial copy.")
@click.option("--allow-partial", is_flag=True, help="Verify a copy that was let pass with pictures left out.")
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Draw some classes to this PNG file."
)
@click.option("--seed", default=0, show_default=True, help="Of the classes that are drawn.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def verify(
    task: str,
    track: str | None,
    root: Path | None,
    allow_partial: bool,
    sheet: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Check that the prepared pictures of TASK are still what was written, and look through them.

    It counts what lies on each side, test included, and names pictures that lie on more than one: equal in
    every pixel as it is stored.

    \b
    Example:
      dmlbench data verify omniglot --sheet omniglot.png
    """
    import json

    from dmlbench.data.sheet import write_sheet
    from dmlbench.data.verify import verify as look
    from dmlbench.protocols import load_track
    from dmlbench.run.home import ready
    from dmlbench.run.tasks import task_named

    reading = on_one_line("{0:,} of {1:,} files read")
    the_task = task_named(task, progress=reading, allow_partial=allow_partial)
    images = load_track(track or the_task.track).images
    data = ready(
        the_task,
        images,
        root=root,
        allow_partial=allow_partial,
        progress=on_one_line("{0:,} of {1:,} pictures"),
    )
    found = look(data, whole_classes=the_task.split.rule != "within-class")
    pictures = _pictures(data, images)
    if sheet is not None:
        write_sheet(data, f"{the_task.id}: {pictures}", sheet, seed=seed)
    if as_json:
        facts = {"task": the_task.id, "folder": str(data.folder), "fingerprint": data.fingerprint}
        click.echo(json.dumps(facts | found.to_json(), indent=1))
    else:
        click.echo(f"{the_task.id}: {pictures}, fingerprint {data.fingerprint}")
        click.echo(_findings(found))


def _pictures(data: Prepared, images: ImagePipeline) -> str:
    side = images.stored
    form = f"with a shorter side of {side}" if images.whole else f"of {side} x {side}"
    return f"{len(data.images):,} pictures {form}"


def _findings(found: Findings) -> str:
    from tabulate import tabulate

    rows = [
        (
            side,
            f"{count.pictures:,}",
            f"{count.classes:,}",
            f"{count.fewest} to {count.most}, median {count.median:g}",
        )
        for side, count in found.sides.items()
    ]
    lines = [
        tabulate(rows, ("side", "pictures", "classes", "pictures a class"), disable_numparse=True),
        f"on more than one side: {found.shared:,} pictures" if found.shared else "no picture is on two sides",
    ]
    for group in found.shared_first:
        lines.append("  " + " = ".join(f"{side} {path}" for side, paths in group.items() for path in paths))
    lines += [f"left out: {path}" for path in found.left_out]
    lines += [f"incomplete: {found.lacks}"] if found.lacks else []
    return "\n".join(lines)


def on_one_line(form: str) -> Callable[..., None]:
    """A callback that keeps one line of a terminal up to date, and is silent elsewhere.

    The line goes away when as much is done as there is.
    """

    def show(*values: Any) -> None:
        if sys.stderr.isatty():
            text = "" if len(set(values)) == 1 else form.format(*values)
            click.echo(f"\r{text}\x1b[K", nl=False, err=True)

    return show
