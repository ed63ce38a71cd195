"""`dmlbench show`: one thing in full."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from dmlbench.cli.list import PLUGIN_KINDS, RULE_KINDS


@click.command("show")
@click.argument("kind", type=click.Choice([*PLUGIN_KINDS, *RULE_KINDS, "plugin"]))
@click.argument("name")
def command(kind: str, name: str) -> None:
    """Show the KIND called NAME: a component's settings and the names it asks for, a rule's contents.

    \b
    Example:
      dmlbench show loss multi-similarity
    """
    if kind == "plugin":
        _show_plugin(name)
    elif kind in RULE_KINDS:
        _show_rule(kind, name)
    elif kind == "method":
        _show_method(name)
    else:
        _show_component(kind, name)


def _show_component(kind: str, name: str) -> None:
    from dmlbench.registry.registry import load_target, registry
    from dmlbench.train.settings import settings_model
    from dmlbench.train.signature import parameters_of

    entry = registry().find(kind, name)
    target = load_target(entry)
    facts: list[tuple[str, str]] = [
        (f"{kind} {entry.full_id}", f"from {entry.distribution} {entry.version}"),
        ("summary", entry.plugin.summary),
        ("reference", entry.plugin.reference),
        ("target", entry.plugin.target),
    ]
    if kind != "dataset":
        forward = target.forward if inspect.isclass(target) and "forward" in vars(target) else None
        if inspect.isclass(target):
            facts.append(("needs to build", _names(parameters_of(target))))
        asked = list(inspect.signature(forward).parameters.values())[1:] if forward else None
        facts.append(("asks for", _names(asked if asked is not None else _step_names(target))))
    for label, text in facts:
        if text:
            click.echo(f"{label:<16} {text}")
    fields = settings_model(target, name).model_fields
    if fields:
        from tabulate import tabulate

        rows = [(key, _type(field.annotation), field.default) for key, field in fields.items()]
        click.echo(tabulate(rows, headers=("setting", "type", "default")))
    if target.__doc__:
        click.echo("\n" + inspect.cleandoc(target.__doc__))


def _step_names(target: Any) -> list[inspect.Parameter]:
    from dmlbench.train.signature import parameters_of

    if inspect.isclass(target):
        draw = getattr(target, "draw", None)
        return list(inspect.signature(draw).parameters.values())[1:] if draw else []
    return parameters_of(target)


def _names(parameters: list[inspect.Parameter]) -> str:
    return ", ".join(parameter.name for parameter in parameters)


def _type(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation)


def _show_method(name: str) -> None:
    from dmlbench.run.methods import resolve_method

    full_id, method = resolve_method(name)
    click.echo(f"# {full_id}")
    _print_spec(method)


def _show_rule(kind: str, name: str) -> None:
    from dmlbench import protocols
    from dmlbench.run.tasks import task_named
    from dmlbench.spec.model import digest

    load = {"protocol": protocols.load_protocol, "track": protocols.load_track, "task": task_named}[kind]
    rule = load(name)
    click.echo(f"# {digest(rule)}")
    _print_spec(rule)


def _print_spec(spec: Any) -> None:
    from dmlbench.spec.model import canonical

    prose = {
        key: getattr(spec, key) for key in type(spec).model_fields if isinstance(getattr(spec, key), str)
    }
    click.echo(json.dumps({**prose, **canonical(spec)}, indent=1, ensure_ascii=False))


def _show_plugin(name: str) -> None:
    from dmlbench.errors import UsageError, nearest
    from dmlbench.registry.registry import registry

    reports = [report for report in registry().reports if name in report.names]
    if not reports:
        known = {known for report in registry().reports for known in report.names}
        raise UsageError(
            f"no plugin named {name!r}", near=nearest(name, known), way_out="dmlbench list plugin"
        )
    for report in reports:
        click.echo(f"{report.distribution} {report.version}, entry point {report.name}: {report.status}")
        if report.loads_torch:
            click.echo("imports torch at discovery: slow for every command")
        for kind, ids in registry().offered_by(report).items():
            click.echo(f"offers {kind:<9} {', '.join(ids)}")
        for text in (report.detail, report.traceback):
            if text:
                click.echo(text)
