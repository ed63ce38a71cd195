"""CK+: sequences from a neutral face to the peak of an expression (Lucey et al. 2010)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item, UsageError
from dmlbench_plugins.datasets.counts import Published, compare
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, folder_with

EXPRESSIONS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""Of the numbers 1 to 7."""
SEQUENCES = 327
"""With a label, of 593."""
IMAGES, LABELS = "cohn-kanade-images", "Emotion"

_LABEL = re.compile(r"(?P<frame>(?P<who>S\d{3})_\d{3}_\d{8})_emotion\.txt")


class CkPlus:
    """327 labelled sequences of 123 people, in seven expressions; of each the last frame, the peak.

    The root, or a folder or zip file in it, holds `cohn-kanade-images/S005/001/S005_001_00000011.png` and
    `Emotion/S005/001/S005_001_00000011_emotion.txt`, a number; a sequence without that file has no label. Who
    is on a picture is its group. `frames` takes so many from the end of each sequence; `neutral` adds its
    first frame as an eighth class, where that is not among them.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url="",
            filename="CK+.zip",
            terms="non-commercial research, on request from the University of Pittsburgh",
            steps="fill in the request form of the University of Pittsburgh",
        ),
    )

    def __init__(self, *, frames: int = 1, neutral: bool = False) -> None:
        if frames < 1:
            raise UsageError(f"frames = {frames}", way_out="1, the peak, or more")
        self.frames = frames
        self.neutral = neutral
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` without the two folders, and for a label that is none."""
        self._folder = folder_with(root, IMAGES, LABELS, way_out=_WAY_OUT)
        found = [
            item
            for person in _sorted(self._folder / LABELS)
            for sequence in _sorted(person)
            for file in _sorted(sequence)
            if (match := _LABEL.fullmatch(file.name))
            for item in self._sequence(f"{IMAGES}/{person.name}/{sequence.name}", match, file)
        ]
        return sorted(found, key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless there are as many sequences as published, with as many frames as asked for."""
        classes = len(EXPRESSIONS) + self.neutral
        published: Published = {"": (classes, SEQUENCES * (self.frames + self.neutral))}
        compare(items, published, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The PNG file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB, the central square."""
        return square(self.source(item), size)

    def _sequence(self, folder: str, match: re.Match[str], file: Folder) -> list[Item]:
        """The items of a labelled sequence; its peak is the frame that the label names."""
        label, peak = _expression(file), f"{match['frame']}.png"
        names = [path.name for path in _sorted(self._folder / folder) if path.name.endswith(".png")]
        before = [name for name in names if name < peak]
        taken = [(name, label) for name in [*before, peak][-self.frames :]]
        if self.neutral and len(before) >= self.frames:  # else the first frame is among those taken
            taken.append((before[0], "neutral"))
        return [Item(path=f"{folder}/{name}", label=what, group=match["who"]) for name, what in taken]


_WAY_OUT = f"dmlbench data prepare ck-plus --from the folder or zip file with {IMAGES} and {LABELS}"


def _sorted(folder: Folder) -> list[Folder]:
    return sorted(folder.iterdir(), key=lambda path: path.name) if folder.is_dir() else []


def _expression(file: Folder) -> str:
    text = file.read_text(encoding="ascii").strip()
    try:
        number = float(text)
    except ValueError:
        number = 0
    if number not in range(1, len(EXPRESSIONS) + 1):
        raise DataError(f"{file.name} says {text!r}, not a number from 1 to 7", way_out=_WAY_OUT)
    return EXPRESSIONS[int(number) - 1]
