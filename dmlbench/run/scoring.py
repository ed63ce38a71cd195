"""The stage `score`: embeddings and labels to numbers. It loads no plugin, and it alone opens test labels."""

from __future__ import annotations

import time
from pathlib import Path

from safetensors.torch import load_file

from dmlbench.data.noise import truly_labelled
from dmlbench.data.store import Prepared
from dmlbench.files import read_json, write_json, write_text
from dmlbench.results import classes as class_files
from dmlbench.run.assemble import opened
from dmlbench.run.class_scores import ClassScores
from dmlbench.run.clusters import cluster_scores
from dmlbench.run.directory import RunDirectory
from dmlbench.run.gallery_scores import GalleryScores
from dmlbench.run.hidden_scores import hidden_scores
from dmlbench.run.known import Known
from dmlbench.run.lessons import held_against
from dmlbench.run.measuring import Measured, measured
from dmlbench.run.pair_scores import PairScores
from dmlbench.run.roc_picture import roc_picture
from dmlbench.run.shot_scores import Base, ShotScores, Tuned, base_of
from dmlbench.run.training import LAST, SELECTED
from dmlbench.score.dropping import drop_scores
from dmlbench.spec.protocol import Protocol, Scored
from dmlbench.spec.run import RunSpec

PER_CLASS = ("recall_at_1",)
"""Beside the primary metric: what `compare` can resample by class."""


def score_run(directory: RunDirectory, folder: Path, scored: Scored) -> None:
    """Score the embeddings in `directory`; write the scores and the per-class sums."""
    started = time.perf_counter()
    spec = RunSpec.from_file(directory.spec)
    protocol = spec.protocol
    data = Prepared.open(folder)  # the true labels, also where training had wrong ones
    side = data.test_labels() if scored == "test" else data.validation
    results, rows, trained = {}, {}, {}
    for which in (SELECTED, LAST):
        embedded = load_file(directory.embeddings(scored, which))
        rows[which] = embedded["embeddings"]
        trained[which] = _training_images(protocol, data, directory, which)
        known: Known | Base | None = trained[which]
        if protocol.shots is not None:
            tuned = _tuned(directory, scored) if spec.tunes and which == protocol.reported else {}
            known = base_of(spec, protocol.shots, data.train, embedded, tuned)
        results[which] = measured(spec, scored, side, rows[which], protocol.metrics, known)
    reported = results[protocol.reported]
    found = dict(reported.metrics)
    if protocol.reported == LAST:
        found |= _selected_beside_last(results, protocol.primary)
    more: dict[str, object] = {}
    if isinstance(reported, PairScores):
        found |= reported.errors
        more["pairs"] = reported.said()
        title = f"{spec.name}, {spec.task_id}, {scored}, seed {spec.seed}"
        write_text(directory.roc(scored), roc_picture(reported.roc, title))
    if isinstance(reported, GalleryScores):
        found |= reported.gap
        more["gallery"] = reported.said()
    against = trained[protocol.reported]
    if isinstance(reported, ClassScores) and protocol.classes is not None and against is not None:
        found |= hidden_scores(spec, protocol.classes, side, rows[protocol.reported], against)
        more["classification"] = reported.said()
    if isinstance(reported, ShotScores):
        found |= reported.beside
        more["shots"] = reported.said()
    if directory.clusterings.exists():
        qualities, more["pseudo_nmi"] = cluster_scores(
            directory, opened(spec, directory, folder).train, data.train
        )
        found |= qualities
    elif directory.dropped.exists():
        dropped = load_file(directory.dropped)["dropped"]
        told = opened(spec, directory, folder).train
        found |= drop_scores(truly_labelled(data.train if spec.noise else told, told), dropped)
    kept = dict.fromkeys((protocol.primary, *(name for name in PER_CLASS if name in protocol.metrics)))
    if protocol.distillation is not None:
        found |= held_against(spec, directory, scored, side, found[protocol.primary], list(kept))
    sums = reported.class_sums(side.labels, kept)
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
            "metrics": found,
            "last_metrics": results[LAST].metrics,
            "metric_versions": reported.metric_versions,
            "queries": reported.queries,
            "lone_queries": reported.skipped,
            "classes": digest,
            "data": data.digest,
            **more,
            "seconds": time.perf_counter() - started,
        },
    )


def _tuned(directory: RunDirectory, scored: Scored) -> Tuned:
    """What trainings with novel classes left, by number of images and draw."""
    few = read_json(directory.shown(scored))
    keys = [(number, draw) for number in few["numbers"] for draw in range(len(few["places"]))]
    return {key: load_file(directory.tuned(scored, *key)) for key in keys}


def _training_images(protocol: Protocol, data: Prepared, directory: RunDirectory, which: str) -> Known | None:
    """The training images, truly labelled, where scores rest on them."""
    if not protocol.against_training:
        return None
    found = directory.found(which)
    return Known(
        data.train,
        load_file(directory.embeddings("train", which))["embeddings"],
        load_file(found)["labels"] if found.exists() else None,
    )


def _selected_beside_last(results: dict[str, Measured], primary: str) -> dict[str, float]:
    """How the checkpoint that noisy validation labels chose does, and what training on from it took away."""
    selected, last = (results[which].metrics[primary] for which in (SELECTED, LAST))
    return {f"selected/{primary}": selected, f"gap/{primary}": selected - last}
