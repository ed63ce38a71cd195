"""Building each recipe once before any run starts: a wrong signature is an error now and not in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dmlbench.data.store import Prepared
from dmlbench.errors import DmlbenchError
from dmlbench.registry.registry import talking
from dmlbench.run.assemble import build_recipe
from dmlbench.run.directory import RunDirectory
from dmlbench.run.planner import Planned


def precheck(runs: Sequence[Planned], data: Prepared, out: Path, *, fresh: bool = False) -> None:
    """Build the recipe of every method in `runs` that no earlier command has built in `out`.

    Raises `ContractError`, `UsageError` or `SpecError` for what a recipe refuses: an unknown name in a
    signature, `*args`, a misspelt event. A component that fails in any other way fails in its own runs.
    """
    seen = set()
    for planned in runs:
        spec = planned.spec
        if spec.name in seen:
            continue
        seen.add(spec.name)
        if not fresh and RunDirectory(out / spec.key).components.exists():
            continue
        try:
            with talking():
                build_recipe(spec, data.train)
        except DmlbenchError:
            raise
        except Exception:  # the worker meets it too, and writes it down with its frames
            continue
