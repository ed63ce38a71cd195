"""`dmlbench new`: a complete plugin package, to install, check, run and change."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import os
import re
import sys
from pathlib import Path

import click

from dmlbench.errors import UsageError

#: What can be made, and the method that its recipe is compared with.
BASES = {
    "loss": "contrastive",
    "miner": "triplet-semihard",
    "sampler": "multi-similarity",
    "augmenter": "multi-similarity",
    "backbone": "multi-similarity",
    "method": "normalised-softmax",
}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST = 64


@click.command("new")
@click.argument("kind", type=click.Choice([*BASES]))
@click.argument("name")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the package's folder is made. [default: here]",
)
def command(kind: str, name: str, folder: Path) -> None:
    """Write a package that offers a KIND called NAME into the folder NAME: it works, and is yours to change.

    \b
    Example:
      dmlbench new loss my-loss
    """
    from dmlbench.cli.packages import render, write_folder

    package = package_name(name)
    _refuse_taken(kind, name, package)
    write_folder(folder / name, render(kind, name, package, BASES[kind]))
    # With "./" in front, so that pip takes it for a folder and not for a name.
    path = os.path.join(folder, name)
    click.echo(path)
    file = f"{package}/recipe.toml" if kind == "method" else f"{package}/{kind}.py"
    for line in (
        f"next: pip install -e {path}",
        f"      dmlbench check {kind} {name}",
        f"      dmlbench run {name} --profile smoke",
        f"      change {os.path.join(path, file)}, and again",
    ):
        click.echo(line, err=True)


def package_name(name: str) -> str:
    """The Python package of the plugin `name`. `UsageError` when `name` cannot name a distribution.

    >>> package_name("my-loss"), package_name("3-views")
    ('my_loss', 'plugin_3_views')
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} is no name for a plugin",
            way_out=f"lower-case letters and digits, hyphens between them, at most {_LONGEST}: my-loss",
        )
    package = name.replace("-", "_")
    return f"plugin_{package}" if package[0].isdigit() else package


def _refuse_taken(kind: str, name: str, package: str) -> None:
    """Installing the package must replace nothing, and its short name must mean one thing."""
    from dmlbench.registry.registry import registry

    another = f"another name, e.g. my-{name}"
    if package in sys.stdlib_module_names or keyword.iskeyword(package) or _belongs_to_others(name, package):
        raise UsageError(f"there is a Python module {package!r} already", way_out=another)
    for taken in dict.fromkeys((kind, "method", "loss")):  # `run` looks among methods and losses
        for entry in registry().of_kind(taken):
            if entry.distribution == "dmlbench" and entry.plugin.id == name:
                raise UsageError(f"dmlbench itself offers a {taken} {entry.full_id!r}", way_out=another)


def _belongs_to_others(name: str, package: str) -> bool:
    """Whether `name` is an installed distribution, or `package` its module, that is no plugin of ours."""
    try:
        points = importlib.metadata.distribution(name).entry_points
    except importlib.metadata.PackageNotFoundError:
        return importlib.util.find_spec(package) is not None
    return not points.select(group="dmlbench")
