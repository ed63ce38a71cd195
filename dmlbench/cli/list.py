"""`dmlbench list`: what is on offer, without importing any of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from dmlbench import __version__

if TYPE_CHECKING:
    from dmlbench.registry.report import Entry

PLUGIN_KINDS = ("loss", "sampler", "miner", "augmenter", "backbone", "dataset", "method")
RULE_KINDS = ("protocol", "track", "task")

Row = dict[str, Any]


@click.command("list")
@click.argument("kind", type=click.Choice([*PLUGIN_KINDS, *RULE_KINDS, "plugin"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(kind: str, as_json: bool) -> None:
    """List every KIND with where it comes from and whether it can be used.

    A plugin that did not load stands below the components: who knows what it would have offered.

    \b
    Example:
      dmlbench list loss
    """
    if kind == "plugin":
        rows = list(_plugins())
    elif kind in RULE_KINDS:
        rows = list(_rules(kind))
    else:
        rows = [*_components(kind), *_not_loaded()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        click.echo(_table(rows))
    if kind not in RULE_KINDS:
        _tell_of_the_switch()
        _tell_of_torch()


def _components(kind: str) -> Iterator[Row]:
    from dmlbench.registry.registry import registry

    for entry in registry().of_kind(kind):
        summary, status, detail = entry.plugin.summary, entry.status, entry.detail
        if kind == "method" and not summary:
            summary, wrong = _method_summary(entry)
            status, detail = ("broken", wrong) if wrong else (status, detail)
        role = getattr(entry.plugin, "role", kind)
        if role != kind:
            summary = f"({role}) {summary}"
        yield _row(entry.full_id, entry.distribution, entry.version, status, summary, detail)


def _not_loaded() -> Iterator[Row]:
    """A row for each plugin of which nothing could be read."""
    from dmlbench.registry.registry import registry

    for report in registry().reports:
        if report.status in ("broken", "invalid", "blocked"):
            detail = f"{report.detail} (dmlbench show plugin {report.namespace})"
            yield _row(report.namespace, report.distribution, report.version, report.status, "", detail)


def _plugins() -> Iterator[Row]:
    from dmlbench.registry.registry import registry

    for report in registry().reports:
        offers = ", ".join(f"{kind} ({len(ids)})" for kind, ids in registry().offered_by(report).items())
        row = _row(
            f"{report.distribution}:{report.name}",
            report.distribution,
            report.version,
            report.status,
            f"offers {offers}" if offers else "",
            report.detail,
        )
        yield row | {"imports_torch": report.loads_torch}


def _row(name: str, distribution: str, version: str, status: str, summary: str, detail: str = "") -> Row:
    return {
        "id": name,
        "distribution": distribution,
        "version": version,
        "status": status,
        "summary": summary,
        "detail": detail,
    }


def _table(rows: Iterable[Row]) -> str:
    """For people: what is wrong with a thing instead of what it would do."""
    from tabulate import tabulate

    shown = []
    for row in rows:
        about = row["detail"] or row["summary"]
        if row.get("imports_torch"):
            about += " (imports torch at discovery)"
        shown.append((row["id"], row["distribution"], row["version"], row["status"], about))
    return tabulate(
        shown, headers=("id", "distribution", "version", "status", "summary"), disable_numparse=True
    )


def _method_summary(entry: Entry) -> tuple[str, str]:
    """A method's summary stands in its recipe, which may be unreadable: (summary, what is wrong)."""
    from dmlbench.errors import DmlbenchError
    from dmlbench.run.methods import load_method

    try:
        return load_method(entry).summary, ""
    except DmlbenchError as error:
        return "", error.one_line()


def _rules(kind: str) -> Iterator[Row]:
    from dmlbench import protocols

    load = {"protocol": protocols.load_protocol, "track": protocols.load_track, "task": protocols.load_task}[
        kind
    ]
    official = protocols.locked()[kind]
    for name in protocols.ids(kind):
        rule = load(name)
        ours = name in official
        yield _row(
            name,
            "dmlbench" if ours else "local",
            __version__ if ours else "0",
            getattr(rule, "status", "ok"),
            rule.summary,
        )


def _tell_of_the_switch() -> None:
    from dmlbench.errors import nearest
    from dmlbench.registry.points import SWITCH, absent_from
    from dmlbench.registry.registry import registry

    reports = registry().reports
    for name in absent_from(reports):
        near = nearest(name, {report.namespace for report in reports})
        hint = f"; near {near}" if near else ""
        click.echo(f"{SWITCH} names {name!r}, which is no installed plugin{hint}", err=True)


def _tell_of_torch() -> None:
    from dmlbench.registry.registry import registry

    for report in registry().reports:
        if report.loads_torch:
            click.echo(f"{report.distribution} ({report.name}) imports torch at discovery: slow", err=True)
