"""`dmlbench list`: what is on offer, without importing any of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from dmlbench import __version__

if TYPE_CHECKING:
    from dmlbench.registry.report import Entry

PLUGIN_KINDS = ("loss", "sampler", "miner", "augmenter", "backbone", "dataset", "method")
RULE_KINDS = ("protocol", "track", "task")


@click.command("list")
@click.argument("kind", type=click.Choice([*PLUGIN_KINDS, *RULE_KINDS]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(kind: str, as_json: bool) -> None:
    """List every KIND with where it comes from and whether it can be used.

    \b
    Example:
      dmlbench list loss
    """
    rows = list(_rules(kind) if kind in RULE_KINDS else _plugins(kind))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    from tabulate import tabulate

    click.echo(tabulate(rows, headers="keys"))
    _tell_of_broken_plugins()


def _plugins(kind: str) -> Iterator[dict[str, str]]:
    from dmlbench.registry.registry import registry

    for entry in registry().of_kind(kind):
        row = {
            "id": entry.full_id,
            "distribution": entry.distribution,
            "version": entry.version,
            "status": entry.status,
            "summary": entry.plugin.summary,
        }
        if kind == "method" and not row["summary"]:
            row |= _method_summary(entry)
        role = getattr(entry.plugin, "role", kind)
        if role != kind:
            row["summary"] = f"({role}) {row['summary']}"
        yield row


def _method_summary(entry: Entry) -> dict[str, str]:
    """A method's summary stands in its recipe; a recipe that cannot be read costs only itself."""
    from dmlbench.errors import DmlbenchError
    from dmlbench.run.methods import load_method

    try:
        return {"summary": load_method(entry).summary}
    except DmlbenchError as error:
        return {"status": "broken", "summary": error.message}


def _rules(kind: str) -> Iterator[dict[str, str]]:
    from dmlbench import protocols

    load = {"protocol": protocols.load_protocol, "track": protocols.load_track, "task": protocols.load_task}[
        kind
    ]
    official = protocols.locked()[kind]
    for name in protocols.ids(kind):
        rule = load(name)
        yield {
            "id": name,
            "distribution": "dmlbench" if name in official else "local",
            "version": __version__ if name in official else "0",
            "status": getattr(rule, "status", "ok"),
            "summary": rule.summary,
        }


def _tell_of_broken_plugins() -> None:
    from dmlbench.registry.registry import registry

    for report in registry().reports:
        if report.status != "ok":
            click.echo(f"{report.distribution} ({report.name}) is {report.status}: {report.detail}", err=True)
        elif report.loads_torch:
            click.echo(f"{report.distribution} ({report.name}) imports torch at discovery: slow", err=True)
