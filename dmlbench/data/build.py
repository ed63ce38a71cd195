"""Writing a store: split, decode, hash, write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmlbench.data import store
from dmlbench.data.decoding import Workers, decode
from dmlbench.data.items import Dataset, Item
from dmlbench.data.pictures import UnreadablePicture, fingerprint
from dmlbench.data.split import SIDES, Side, seeded_order, split_items
from dmlbench.errors import DataError
from dmlbench.files import replacing, write_json
from dmlbench.spec.model import digest
from dmlbench.spec.task import Task
from dmlbench.spec.track import ImagePipeline

PARTIAL = "partial:"
"""Before the fingerprint of a part of a data set: it is none that a task can name."""
Progress = Callable[[int, int], None]
"""Called with pictures done and pictures in all."""


def manifest(items: Sequence[Item]) -> str:
    """Digest of everything that is known about the items without opening a picture."""
    return digest(sorted(_known(item) for item in items))


def _known(item: Item) -> list[Any]:
    facts = [item.path, item.label, item.group, item.part, dict(item.columns), item.superclass or ""]
    return [*facts, sorted(item.labels)] if item.labels else facts


@dataclass(frozen=True)
class Build:
    """One store in the making; see `prepare` for what the fields mean."""

    task: Task
    images: ImagePipeline
    dataset: Dataset
    allow_partial: bool
    check: bool
    progress: Progress | None
    workers: Workers | None = None
    lacks: str = ""
    """What the items are known to be short of; said beside what is left out."""

    def write(self, items: Sequence[Item], folder: Path) -> dict[str, Any]:
        """Fill the empty `folder`; its meta data, written last, is returned. `OSError` when it cannot."""
        sides = split_items(items, self.task.split)
        sides["test"] = self._shuffled(sides["test"])
        kept, left_out, found, pixels, sizes = self._write_images(folder / store.IMAGES, sides)
        wanted = self.task.fingerprint
        if self.check and not (left_out or self.lacks) and wanted not in (None, found):
            raise DataError(
                f"these are not the pictures of the task: fingerprint {found}, expected {wanted}",
                place=f"data set {type(self.dataset).__name__}, {len(items)} items",
                way_out="get the data or the pinned packages anew, or use a task of your own without it",
            )
        size = self.images.stored
        if self.images.whole:
            write_json(folder / store.SIZES, {"sizes": sizes})
        count = sum(map(max, sizes)) if self.images.whole else len(sizes)
        meta = {
            "format": store.STORE_FORMAT,
            "task": self.task.id,
            "task_digest": digest(self.task),
            "dataset": self.task.dataset.component,
            "versions": self.dataset.versions(),
            "shape": [count, *([size] if self.images.whole else [size, size]), self.images.channels],
            **({"whole": True} if self.images.whole else {}),
            "counts": _write_sides(folder, kept),
            "fingerprint": PARTIAL * bool(left_out or self.lacks) + found,
            "pixels": pixels,
            "left_out": left_out,
            **({"lacks": self.lacks} if self.lacks else {}),
        }
        write_json(folder / store.META, meta)
        return meta

    def _shuffled(self, items: list[Item]) -> list[Item]:
        """Test items in an order in which neighbours are not of one class."""
        by_name = {f"test-order/{item.path}": item for item in items}
        return [by_name[name] for name in seeded_order(by_name, self.task.split.seed)]

    def _write_images(
        self, path: Path, sides: dict[Side, list[Item]]
    ) -> tuple[dict[Side, list[Item]], list[str], str, str, list[tuple[int, int]]]:
        """What was kept, what was left out, the fingerprint of the sources, the hash of the pixels, and the
        height and width of what was kept."""
        kept: dict[Side, list[Item]] = {side: [] for side in SIDES}
        left_out: list[str] = []
        sources: list[tuple[Item, str]] = []
        sizes: list[tuple[int, int]] = []
        pixels = hashlib.sha256()
        order = [(side, item) for side in SIDES for item in sides[side]]
        pictures = [item for _, item in order]
        form = self.images.stored, self.images.channels
        reading = decode(self.dataset, pictures, *form, self.workers, whole=self.images.whole)
        with replacing(path) as temporary, temporary.open("wb") as file, closing(reading) as decoded:
            for done, ((side, item), found) in enumerate(zip(order, decoded, strict=True), start=1):
                if isinstance(found, UnreadablePicture):
                    if not self.allow_partial:
                        raise found
                    left_out.append(item.path)
                else:
                    file.write(found.pixels)
                    pixels.update(found.pixels)
                    kept[side].append(item)
                    sources.append((item, found.source))
                    sizes.append((found.height, found.width))
                if self.progress is not None:
                    self.progress(done, len(order))
        return kept, left_out, fingerprint(sources), "sha256:" + pixels.hexdigest(), sizes


def _write_sides(folder: Path, kept: dict[Side, list[Item]]) -> dict[str, dict[str, int]]:
    """The label files; how many items and classes each side has."""
    start = 0
    label_names = sorted({name for items in kept.values() for item in items for name in item.labels})
    counts: dict[str, dict[str, int]] = {}
    for side in SIDES:
        facts = _facts(kept[side], label_names)
        rows = list(range(start, start := start + len(kept[side])))
        if side == "test":
            shown = {name: facts["columns"][name] for name in (store.DOMAIN,) if name in facts["columns"]}
            write_json(folder / store.TEST_ORDER, {"rows": rows, **shown})
            write_json(folder / store.TEST_LABELS, facts)
        else:
            name = store.TRAIN if side == "train" else store.VALIDATION
            write_json(folder / name, {"rows": rows, **facts})
        counts[side] = {"items": len(rows), "classes": len(facts["classes"])}
    return counts


def _facts(items: list[Item], label_names: list[str]) -> dict[str, Any]:
    """Labels numbered in the order of the classes' names, columns and paths, aligned with `items`.

    Where items have several labels, also these, numbered as in `label_names`: alike on all sides.
    """
    classes = sorted({item.label for item in items})
    number = {name: label for label, name in enumerate(classes)}
    columns = {name: [item.columns[name] for item in items] for name in (items[0].columns if items else ())}
    if any(item.superclass is not None for item in items):
        columns["superclass"] = [item.superclass or "" for item in items]
    facts = {
        "labels": [number[item.label] for item in items],
        "classes": classes,
        "columns": columns,
        "paths": [item.path for item in items],
    }
    if label_names:
        place = {name: label for label, name in enumerate(label_names)}
        facts["relevance"] = [sorted(place[name] for name in item.labels) for item in items]
        facts["label_names"] = label_names
    return facts
