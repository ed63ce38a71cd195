"""From the files of a run to its record."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import dmlbench
from dmlbench.files import read_json, write_json
from dmlbench.run.directory import RunDirectory
from dmlbench.run.inside import THREADS
from dmlbench.run.planner import Planned
from dmlbench.spec.record import Outcome, Record, UsedComponent


def new_run_id() -> str:
    """The start in UTC and six random hex digits: tells two runs of one key apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"


def write_record(planned: Planned, directory: RunDirectory, run_id: str) -> Record:
    """Compose and store the record of a run whose three stages are done."""
    scored = planned.scored
    trained = read_json(directory.trained)
    embedded = read_json(directory.embedded(scored))
    scores = read_json(directory.scores(scored))
    tuned = read_json(directory.tuning(scored)) if planned.spec.tunes else {}
    record = Record(
        **_identity(planned, run_id),
        outcome=Outcome(status="ok"),
        **{
            key: scores[key]
            for key in ("metrics", "last_metrics", "metric_versions", "queries", "lone_queries")
        },
        classes=scores["classes"],
        selected_images=trained["selected_images"],
        validation=trained["validation"],
        pseudo_nmi=scores.get("pseudo_nmi", []),
        images_seen=trained["images_seen"] + tuned.get("images_seen", 0),
        extra_forwards=trained["extra_forwards"],
        dimension=embedded["dimension"],
        teacher_parameters=embedded.get("teacher_parameters", 0),
        inference_parameters=trained["inference_parameters"],
        digests={**planned.spec.digests(), "data": scores["data"]},
        costs=_costs(planned, trained),
        components=[UsedComponent(**used) for used in read_json(directory.components)],
        seconds={
            "train": trained["seconds"],
            "embed": embedded["seconds"],
            **({"tune": tuned["seconds"]} if tuned else {}),
            "score": scores["seconds"],
        },
        peak_memory_mib=trained["peak_memory_mib"],
    )
    write_json(directory.record(scored), record.model_dump(mode="json"))
    return record


def failed_record(planned: Planned, run_id: str, failure: dict[str, Any]) -> Record:
    """The record of a run that failed: what it was, and the last frames."""
    return Record(
        **_identity(planned, run_id),
        outcome=Outcome(
            status="failed",
            kind=failure["kind"],
            message=failure["message"],
            frames=tuple(failure.get("frames", ())),
        ),
        digests=planned.spec.digests(),
    )


def _identity(planned: Planned, run_id: str) -> dict[str, Any]:
    spec = planned.spec
    return {
        "run_key": spec.key,
        "run_id": run_id,
        "method": spec.name,
        "base": spec.method.base,
        "seed": spec.seed,
        "protocol": spec.protocol.id,
        "task": spec.task_id,
        "track": spec.track.id,
        "profile": spec.profile,
        "budget": spec.track.budget[spec.profile],
        "scored": planned.scored,
        "on_track": spec.on_track,
        "trains": spec.method.trains,
        "oracle": planned.oracle,
        "fidelity": spec.method.fidelity,
        "held_against": {
            part: key for part, key in (("teacher", spec.teacher), ("plain", spec.plain)) if key is not None
        },
        "numerics": spec.numerics,
        "environment": {
            "dmlbench": dmlbench.__version__,
            "python": platform.python_version(),
            "torch": importlib.metadata.version("torch"),
            "platform": f"{platform.system()}-{platform.machine()}",
            "processor": _processor(),
            "threads": str(THREADS),
        },
    }


def _costs(planned: Planned, trained: dict[str, Any]) -> dict[str, float]:
    """Mined tuples a step, where the recipe mines."""
    steps = trained.get("steps", 0)
    mined = {name: count / steps for name, count in trained.get("mined", {}).items() if steps}
    return {f"{name}/mined_per_step": value for name, value in sorted(mined.items())}


def _processor() -> str:
    """The processor's model name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
