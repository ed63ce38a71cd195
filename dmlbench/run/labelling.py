"""The stage `label`: what training and validation are told of the items, before any component sees one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from dmlbench.data.noise import corrupt
from dmlbench.data.noise_list import read_noise_list
from dmlbench.data.shots import divided, part_of, shown
from dmlbench.data.store import TRAIN, VALIDATION, Part, Prepared
from dmlbench.files import write_json
from dmlbench.run.clusters import hidden
from dmlbench.run.directory import RunDirectory
from dmlbench.run.pictures import small_pictures
from dmlbench.spec.run import RunSpec
from dmlbench.train.randomness import generator


def label(directory: RunDirectory, folder: Path) -> None:
    """Write what the run in `directory` trains and is selected on. No plugin runs here."""
    spec = RunSpec.from_file(directory.spec)
    data = Prepared.open(folder)
    listed = directory.noise_list.read_text(encoding="utf-8") if directory.noise_list.exists() else None
    directory.labels.mkdir(exist_ok=True)
    train, validation = told(spec, data, listed)
    if spec.protocol.shots is not None:
        cut = divided(spec.protocol.shots, data.train, f"task {spec.task.id}", novel=False)
        write_json(directory.held, {"rows": data.train.rows[cut.scored].tolist()})
    write_json(directory.labels / VALIDATION, validation.to_json())
    write_json(directory.labels / TRAIN, train.to_json())  # last: it marks the end of the stage


def told(spec: RunSpec, data: Prepared, listed: str | None = None) -> tuple[Part, Part]:
    """Training and validation items as the run's components know them; `listed` as in `noisy`.

    With few images of novel classes, base classes train on their pool; all of the validation side is known,
    and `DataError` says that it has too few images.
    Where labels are hidden there are clusters of the training pictures, and nothing of validation ones.
    Where finer classes are, the protocol's columns are all that stands beside labels: paths may tell them.
    """
    if spec.protocol.pseudo_labels is not None:
        return hidden(spec, data)
    if spec.protocol.shots is not None:
        rules, place = spec.protocol.shots, f"task {spec.task.id}"
        cut = divided(rules, data.train, place, novel=False)
        new = f"{place}, validation side"
        shown(rules, data.validation, divided(rules, data.validation, new, novel=True).pool, new)
        return part_of(data.train, cut.pool), data.validation
    if spec.protocol.classes is not None:
        return _bare(data.train, spec.protocol.columns), _bare(data.validation, spec.protocol.columns)
    return noisy(spec, data, listed) if spec.noise else (data.train, data.validation)


def _bare(part: Part, columns: Collection[str]) -> Part:
    shown = {name: values for name, values in part.columns.items() if name in columns}
    return replace(part, columns=shown, paths=())


def noisy(spec: RunSpec, data: Prepared, listed: str | None = None) -> tuple[Part, Part]:
    """Training and validation items with the labels that the run's noise gives them, from its seed.

    `listed` is the text of the published list that the noise names; it says nothing of validation items,
    which keep their labels.
    """
    assert spec.noise is not None
    parts = []
    for side, part in (("train", data.train), ("validation", data.validation)):
        labels: Mapping[str, int] = {}
        if spec.noise.rule == "list":
            if side == "validation":
                parts.append(part)
                continue
            labels = read_noise_list(listed or "", part.paths)
        drawn = corrupt(
            spec.noise,
            part,
            generator(spec.seed, "noise", side),
            small_pictures=lambda part=part: small_pictures(data, part),
            listed=labels,
        )
        parts.append(drawn)
    return parts[0], parts[1]
