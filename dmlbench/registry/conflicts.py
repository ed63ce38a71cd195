"""Two components of one name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dmlbench.registry.report import Entry, PluginReport


def mark_conflicts(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, those whose name somebody else offers too marked `conflict`, with everybody named.

    Of one full id none can be used. Of one short id from several distributions each keeps working by its full
    id. Namespaces of one distribution are told apart on purpose; that is no conflict.
    """
    full: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    short: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        full[entry.plugin.kind, entry.full_id].append(entry)
        short[entry.plugin.kind, entry.plugin.id].append(entry)

    def marked(entry: Entry) -> Entry:
        same = full[entry.plugin.kind, entry.full_id]
        alike = short[entry.plugin.kind, entry.plugin.id]
        if len(same) > 1:
            return replace(entry, status="conflict", detail=_twice(entry.full_id, same))
        if len({other.distribution for other in alike}) > 1 and entry.status == "ok":
            return replace(entry, status="conflict", detail=_ambiguous(alike))
        return entry

    return [marked(entry) for entry in entries]


def _twice(full_id: str, same: list[Entry]) -> str:
    owners = sorted(f"{entry.distribution} {entry.version} ({entry.point})" for entry in same)
    if len(set(owners)) == 1:
        return f"{full_id} is offered {len(owners)} times by {owners[0]}"
    return f"{full_id} is offered by {_listed(owners, 'and')}"


def _ambiguous(alike: list[Entry]) -> str:
    owners = _listed(sorted({entry.distribution for entry in alike}), "and")
    names = _listed(sorted(entry.full_id for entry in alike), "or")
    return f"{alike[0].plugin.id!r} is offered by {owners}; say {names}"


def _listed(words: Iterable[str], last: str) -> str:
    *most, end = dict.fromkeys(words)
    return f"{', '.join(most)} {last} {end}" if most else end


def reported(report: PluginReport, entries: Iterable[Entry]) -> PluginReport:
    """The report of a plugin that loaded, once it is known what became of its components."""
    own = [e for e in entries if (e.distribution, e.point) == (report.distribution, report.name)]
    clashes = [entry.detail for entry in own if entry.status == "conflict"]
    if report.status == "ok" and clashes:
        more = f" (and {len(clashes) - 1} more)" if len(clashes) > 1 else ""
        return replace(report, status="conflict", detail=clashes[0] + more)
    if report.status == "ok" and own and all(entry.status == "unavailable" for entry in own):
        return replace(report, status="unavailable", detail=own[0].detail)
    return report
