"""The stage `score`: embeddings and labels to numbers. It loads no plugin, and it alone opens test labels."""

from __future__ import annotations

import time
from pathlib import Path

from safetensors.torch import load_file

from dmlbench.data.store import Prepared
from dmlbench.files import write_json
from dmlbench.results import classes as class_files
from dmlbench.run.directory import RunDirectory
from dmlbench.run.training import LAST, SELECTED
from dmlbench.score import score
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec

PER_CLASS = ("recall_at_1",)
"""Beside the primary metric: what `compare` can resample by class."""


def score_run(directory: RunDirectory, folder: Path, scored: Scored) -> None:
    """Score the embeddings in `directory`; write the scores and the per-class sums."""
    started = time.perf_counter()
    spec = RunSpec.from_file(directory.spec)
    protocol = spec.protocol
    data = Prepared.open(folder)
    side = data.test_labels() if scored == "test" else data.validation
    results = {
        which: score(
            load_file(directory.embeddings(scored, which))["embeddings"],
            side.labels,
            metrics=protocol.metrics,
            distance=spec.method.distance,
            tie_seed=protocol.tie_seed,
            lone=protocol.lone,
        )
        for which in (SELECTED, LAST)
    }
    selected = results[SELECTED]
    kept = dict.fromkeys((protocol.primary, *(name for name in PER_CLASS if name in protocol.metrics)))
    sums = selected.class_sums(side.labels, kept)
    digest = class_files.write(
        directory.classes(scored),
        class_files.ClassSums(
            classes=tuple(side.classes[label] for label in sums.classes.tolist()),
            counts=tuple(sums.counts.tolist()),
            sums={name: tuple(values.tolist()) for name, values in sums.sums.items()},
        ),
    )
    write_json(
        directory.scores(scored),
        {
            "metrics": selected.metrics,
            "last_metrics": results[LAST].metrics,
            "metric_versions": selected.metric_versions,
            "queries": selected.queries,
            "lone_queries": selected.skipped,
            "classes": digest,
            "data": data.digest,
            "seconds": time.perf_counter() - started,
        },
    )
