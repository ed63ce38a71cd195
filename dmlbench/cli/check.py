"""`dmlbench check`: the conformance kit on one component, or on all of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dmlbench.cli.list import PLUGIN_KINDS

if TYPE_CHECKING:
    from dmlbench.registry.report import Entry
    from dmlbench.testing.report import Report, Result

_WORDS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped", "expected": "expected failure"}


@click.command("check")
@click.argument("kind", type=click.Choice(PLUGIN_KINDS), required=False)
@click.argument("name", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Check every built-in component, of KIND or of all kinds."
)
@click.option("--set", "changes", multiple=True, metavar="SETTING=VALUE", help="A setting of the component.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of reports as JSON.")
def command(
    kind: str | None, name: str | None, everything: bool, changes: tuple[str, ...], as_json: bool
) -> int:
    """Check that the KIND called NAME keeps what its kind promises: values, gradients, state, randomness.

    Which checks apply follows from what its signatures ask for. Exit status 1 when one failed.

    \b
    Examples:
      dmlbench check loss multi-similarity
      dmlbench check --all
    """
    from dmlbench.errors import UsageError

    if everything and (name or changes):
        raise UsageError("--all takes neither a NAME nor --set", way_out="dmlbench check loss --all")
    if not everything and not (kind and name):
        raise UsageError("nothing to check", way_out="dmlbench check KIND NAME, or dmlbench check --all")
    if everything:
        reports = _check_all([kind] if kind else PLUGIN_KINDS, as_json)
    else:
        reports = [_check_one(str(kind), str(name), _settings(changes), as_json)]
    if as_json:
        click.echo(json.dumps([report.to_json() for report in reports], indent=1))
    elif everything:
        click.echo(f"{len(reports)} components: {_counts(reports)}")
    else:
        click.echo(_counts(reports))
    return 1 if any(report.failed for report in reports) else 0


def _check_one(kind: str, name: str, settings: dict[str, Any], as_json: bool) -> Report:
    from dmlbench.registry.registry import registry
    from dmlbench.testing.report import check_entry

    entry = registry().find(kind, name)
    return check_entry(entry, settings, None if as_json else _tell)


def _check_all(kinds: Sequence[str], as_json: bool) -> list[Report]:
    """Each component's line as it is done; what is not installed is a line too."""
    from dmlbench.testing.report import check_entry, unavailable

    entries = [entry for kind in kinds for entry in _built_in(kind)]
    reports = []
    for place, entry in enumerate(entries, start=1):
        click.echo(f"{place} of {len(entries)}: {entry.plugin.kind} {entry.full_id}", err=True)
        reports.append(check_entry(entry) if entry.status == "ok" else unavailable(entry))
        if not as_json:
            _tell_of(reports[-1])
    return reports


def _built_in(kind: str) -> list[Entry]:
    from dmlbench.registry.hookspecs import PROJECT
    from dmlbench.registry.registry import registry

    return [entry for entry in registry().of_kind(kind) if entry.distribution == PROJECT]


def _settings(changes: Sequence[str]) -> dict[str, Any]:
    from dmlbench.errors import SpecError, UsageError
    from dmlbench.spec.toml import parse_toml

    settings = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change!r} is not of the form SETTING=VALUE", way_out="--set margin=0.2")
        try:
            settings[name] = parse_toml(f"value = {text}", place=f"--set {change}")["value"]
        except SpecError:  # a bare word is text
            settings[name] = text
    return settings


def _tell(result: Result) -> None:
    click.echo(f"{_WORDS[result.status]:<17} {result.id:<26} {_one_line(result.detail)}".rstrip())


def _tell_of(report: Report) -> None:
    status = "FAILED" if report.failed else "ok" if report.counts["run"] else "skipped"
    said = f"{status:<8} {report.kind:<9} {report.name:<32} {_counts([report])}, {report.seconds:.1f} s"
    click.echo(said if report.counts["run"] else f"{said}: {report.results[0].detail}")
    for result in report.results:
        if result.status in ("failed", "expected"):
            click.echo("  ", nl=False)
            _tell(result)


def _counts(reports: Sequence[Report]) -> str:
    def total(name: str) -> int:
        return sum(report.counts[name] for report in reports)

    failed = f", {total('failed')} failed" if total("failed") else ""
    return f"{total('run')} run{failed}, {total('skipped')} skipped, {_plural(total('expected'))}"


def _plural(count: int) -> str:
    return f"{count} expected failure{'' if count == 1 else 's'}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
