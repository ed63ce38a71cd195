"""The kit's own data: a hundred small pictures that can be told apart, prepared as any data set is."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.data.items import Download, Item
from dmlbench.data.prepare import prepare
from dmlbench.data.store import Prepared
from dmlbench.spec.component import Component
from dmlbench.spec.task import Split, Task
from dmlbench.spec.track import Augmentation, ImagePipeline

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES, TEST_CLASSES, VALIDATION_CLASSES = 22, 2, 2
FORMS = 19
KINDS = 5
IMAGES, FEW = 5, 2
"""Pictures of a class; every sixth class has few, as classes of real data do."""
TASK = Task(
    id="rehearsal",
    summary="The conformance kit's own pictures.",
    dataset=Component(component="dmlbench-testing:patterns"),
    split=Split(rule="official", seed=0, validation_groups=VALIDATION_CLASSES),
    track="rehearsal",
)


class Patterns:
    """A random pattern a class, with noise of each picture's own. `domain` alternates.

    As labels a picture has the form of its class, which a few classes share, and some are framed or marked.
    """

    needs_root = False
    downloads: tuple[Download, ...] = ()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> Sequence[Item]:
        return list(self._items())

    def source(self, item: Item) -> bytes:
        return item.path.encode()

    def picture(self, item: Item, size: int) -> Image:
        from PIL import Image

        number, copy = (int(part) for part in item.path.split("/"))
        pattern = np.random.default_rng(number).integers(0, 256, (8, 8, 3))
        noise = np.random.default_rng([number, copy]).integers(-40, 40, (8, 8, 3))
        picture = Image.fromarray((pattern + noise).clip(0, 255).astype(np.uint8))
        return picture.resize((size, size), Image.Resampling.NEAREST)

    def _items(self) -> Iterator[Item]:
        for number in range(CLASSES + TEST_CLASSES):
            part = "train" if number < CLASSES else "test"
            for copy in range(FEW if number % 6 == 5 else IMAGES):
                name = f"class {number}"
                marks = ("framed",) * (copy in (1, 2)) + ("marked",) * (copy == 1)
                labels = (f"form {number % FORMS}", *marks)
                columns, superclass = {"domain": copy % 2}, f"kind {number % KINDS}"
                yield Item(
                    f"{number}/{copy}", name, name, part, columns, labels=labels, superclass=superclass
                )


def pipeline(size: int, channels: int) -> ImagePipeline:
    """A little rotation and shift, so that the image stream is in use."""
    change = Augmentation(
        rotation_degrees=Decimal(10),
        scale=(Decimal(1), Decimal(1)),
        shift=Decimal("0.05"),
        flip=Decimal(0),
        brightness=Decimal(0),
        contrast=Decimal(0),
        saturation=Decimal(0),
    )
    return ImagePipeline(
        size=size, channels=channels, mean=Decimal(1), std=Decimal("0.5"), augmentation=change
    )


@functools.cache
def prepared(size: int) -> Prepared:
    """The store of the pictures at this size, made once a process."""
    return prepare(TASK, pipeline(size, 3), Patterns(), None, workspace() / "data")


@functools.cache
def workspace() -> Path:
    """A temporary folder that is gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="dmlbench-check-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
