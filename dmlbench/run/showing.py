"""The stage `show`: the few labelled images of novel classes, for a method that trains on them."""

from __future__ import annotations

from pathlib import Path

from dmlbench.data.shots import divided, shown
from dmlbench.data.store import Prepared
from dmlbench.files import write_json
from dmlbench.run.directory import RunDirectory
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec


def show(directory: RunDirectory, folder: Path, scored: Scored) -> None:
    """Write which items of the side are shown in the draws that are trained on. No plugin runs here.

    Of every other item of the side nothing is said. Places are [draw][class][shot]; a class is a number.
    """
    spec = RunSpec.from_file(directory.spec)
    rules = spec.protocol.shots
    assert rules is not None
    data, place = Prepared.open(folder), f"task {spec.task.id}, {scored} side"
    side = data.test_labels() if scored == "test" else data.validation
    few = shown(rules, side, divided(rules, side, place, novel=True).pool, place)
    places = few.places[: rules.tuned_draws].tolist()
    write_json(directory.shown(scored), {"numbers": list(few.numbers), "places": places})
