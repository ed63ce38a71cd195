"""How a student is held against its teacher and the plain student: by the scorer, on the same side."""

from __future__ import annotations

from collections.abc import Sequence

from safetensors.torch import load_file

from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import RunError
from dmlbench.files import read_json
from dmlbench.run.directory import TEACHER, RunDirectory
from dmlbench.run.measuring import measured
from dmlbench.score.gap import gap_closed
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec


def held_against(
    spec: RunSpec,
    directory: RunDirectory,
    scored: Scored,
    side: Part | TestLabels,
    student: float,
    metrics: Sequence[str],
) -> dict[str, float]:
    """`teacher/METRIC` of each of `metrics`, the primary one first; `plain/PRIMARY` and `gap_closed`.

    The last two are not there for the plain student itself; `gap_closed` alone is left out, and a line
    says so, where the teacher is no better than the plain student. `RunError` when the plain student's
    scores are not there.
    """
    primary = metrics[0]
    distance = read_json(directory.embedded(scored))["teacher_distance"]
    as_taught = spec.model_copy(update={"method": spec.method.model_copy(update={"distance": distance})})
    embeddings = load_file(directory.embeddings(scored, TEACHER))["embeddings"]
    scores = measured(as_taught, scored, side, embeddings, metrics).metrics
    found = {f"{TEACHER}/{name}": scores[name] for name in metrics}
    if spec.plain is None:
        return found
    beside = RunDirectory(directory.root.parent / spec.plain).scores(scored)
    if not beside.exists():
        raise RunError("the plain student was not scored", place=beside, way_out="issue the command again")
    plain = read_json(beside)["metrics"][primary]
    found[f"plain/{primary}"] = plain
    closed = gap_closed(student, plain, scores[primary])
    if closed is None:
        print(
            f"gap_closed is left out: the teacher ({primary} {scores[primary]:.4f}) is no better than the "
            f"plain student ({plain:.4f})"
        )
        return found
    return {**found, "gap_closed": closed}
