"""What the checks found, as values."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dmlbench.registry.registry import registry
from dmlbench.registry.report import Entry
from dmlbench.testing.case import Case, CheckFailed, NotApplicable, passes_unexpectedly
from dmlbench.testing.subject import Subject

Status = Literal["ok", "failed", "skipped", "expected"]


@dataclass(frozen=True)
class Result:
    """What one check found; `detail` says why it failed or was skipped."""

    id: str
    status: Status
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What the checks found about one component."""

    kind: str
    name: str
    results: tuple[Result, ...]
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return any(result.status == "failed" for result in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """How many ran, passed, failed, were skipped, failed as declared."""
        found = Counter(result.status for result in self.results)
        ran = len(self.results) - found["skipped"]
        return {"run": ran, **{name: found[name] for name in ("ok", "failed", "skipped", "expected")}}

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "counts": self.counts,
            "seconds": round(self.seconds, 2),
            "checks": [asdict(result) for result in self.results],
        }


def checks(kind: str, name: str, settings: Mapping[str, Any] | None = None) -> list[Case]:
    """The checks of the `kind` called `name`, as `dmlbench list` has it, with its default settings or these.

    Raises `UsageError` for an unknown name or a component that is not ok.
    """
    return checks_of(registry().find(kind, name), settings)


cases = checks


def checks_of(entry: Entry, settings: Mapping[str, Any] | None = None) -> list[Case]:
    """The checks of an entry, which need not be one that is installed."""
    return list(Subject(entry, settings).cases.values())


def check(kind: str, name: str, settings: Mapping[str, Any] | None = None) -> Report:
    """Run all checks of the `kind` called `name`. Raises `UsageError` as `checks` does."""
    return check_entry(registry().find(kind, name), settings)


def check_entry(
    entry: Entry,
    settings: Mapping[str, Any] | None = None,
    tell: Callable[[Result], None] | None = None,
) -> Report:
    """Run all checks of an entry; `tell` hears of each result as it is found."""
    began = time.perf_counter()
    results = []
    for case in checks_of(entry, settings):
        results.append(_result(case))
        if tell is not None:
            tell(results[-1])
    return Report(entry.plugin.kind, entry.full_id, tuple(results), time.perf_counter() - began)


def unavailable(entry: Entry) -> Report:
    """The report of a component that cannot be used here: one line that says why."""
    why = f"{entry.status}: {' '.join(entry.detail.split())}"
    return Report(entry.plugin.kind, entry.full_id, (Result("build", "skipped", why),))


def _result(case: Case) -> Result:
    expected = case.expected_failure
    try:
        case.run()
    except NotApplicable as why:
        return Result(case.id, "skipped", str(why))
    except CheckFailed as error:
        if expected is not None:
            return Result(case.id, "expected", expected)
        return Result(case.id, "failed", str(error))
    if expected is not None:
        return Result(case.id, "failed", passes_unexpectedly(expected))
    return Result(case.id, "ok")
