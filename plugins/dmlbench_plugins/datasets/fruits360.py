"""Fruits-360, the 3-body problem: varieties of apples, cherries and tomatoes, turning (Oltean 2017-2025)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.counts import compare
from dmlbench_plugins.datasets.photos import square
from dmlbench_plugins.datasets.roots import Folder, files

COMMIT = "f0f029370699ac3317e66d09878cf537af67a3ae"
PARTS: dict[str, Literal["train", "test"]] = {"Training": "train", "Test": "test"}
LEFT_OUT = {"Apple Rotten 1": "Apple 21", "Apple worm 1": "Apple 22"}
"""Varieties published to train on that are, picture for picture, varieties published to test on."""
VARIETIES = {"train": 47, "test": 18}
"""Without those."""

_BELOW = r"(?:(?P<set>.*)/)?(?P<path>(?P<part>Training|Test)/"
_PICTURE = re.compile(_BELOW + r"(?P<fruit>[^/]+)/(?P<variety>[^/]+)/[^/]+\.jpg)")
_CLASSIC = re.compile(_BELOW + r"[^/]+/[^/]+\.jpg)")


class Fruits360:
    """65 varieties of three fruits, `frames` pictures of each; 47 train and 18 others test, as published.

    A class is a variety, its superclass the fruit. The pictures of a variety are a film of one fruit on a
    turntable: of the 300 to 1,000 that are published, `frames` at equal distances are taken. Two training
    varieties more are published, and left out here: their pictures are those of two test varieties.

    The root is the authors' repository or its small edition of 24 frames a variety, a folder or a zip file:
    `Training/Apple/Apple 5/r0_10_100.jpg`. Both give one fingerprint for 24 frames.
    """

    needs_root = True
    reads_zip = True
    downloads = (
        Download(
            url=f"https://github.com/fruits-360/fruits-360-3-body-problem/archive/{COMMIT}.zip",
            filename="fruits-360-3-body-problem.zip",
        ),
    )

    def __init__(self, *, frames: int = 24) -> None:
        self.frames = frames
        self._folder: Folder = Path()

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there are no such pictures, or several sets of them."""
        for folder, names in files(root, way_out=_WAY_OUT):
            found = [match for name in names if (match := _PICTURE.fullmatch(name))]
            if sets := {match["set"] or "" for match in found}:
                if len(sets) > 1:
                    problem = f"there are several sets of pictures: {', '.join(sorted(sets))}"
                    raise DataError(problem, place=root, way_out=_WAY_OUT)
                self._folder = folder.joinpath(*sets)
                return sorted(self._taken(found), key=lambda item: item.path)
            if any(_CLASSIC.fullmatch(name) for name in names):
                problem = "this is the classic Fruits-360: its Training and Test show the same varieties"
                raise DataError(problem, place=root, way_out=_WAY_OUT)
        problem = "there are no pictures Training/FRUIT/VARIETY/FRAME.jpg here"
        raise DataError(problem, place=root, way_out=_WAY_OUT)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless all varieties have as many frames as are wanted."""
        published = {part: (count, count * self.frames) for part, count in VARIETIES.items()}
        compare(items, published, way_out=_WAY_OUT)

    def source(self, item: Item) -> bytes:
        """The JPEG file."""
        return (self._folder / item.path).read_bytes()

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode RGB; the fruit on white, as published."""
        return square(self.source(item), size)

    def _taken(self, found: list[re.Match[str]]) -> Iterator[Item]:
        """Of each variety every so many frames, in the order of the film."""
        films: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for match in found:
            if match["variety"] not in LEFT_OUT:
                films[match["part"], match["fruit"], match["variety"]].append(match["path"])
        for (part, fruit, variety), paths in films.items():
            paths.sort(key=_by_numbers)
            taken = {paths[n * len(paths) // self.frames] for n in range(self.frames)}
            for path in taken:
                yield Item(path=path, label=variety, group=variety, part=PARTS[part], superclass=fruit)


_WAY_OUT = "dmlbench data prepare fruits360 --from the folder or zip file of fruits-360-3-body-problem"


def _by_numbers(path: str) -> list[tuple[bool, int, str]]:
    """Order in which 9 comes before 10: `r2_9_100.jpg`, `r2_10_100.jpg`.

    >>> sorted(["r_10.jpg", "r_9.jpg", "2.jpg"], key=_by_numbers)
    ['2.jpg', 'r_9.jpg', 'r_10.jpg']
    """
    parts = re.split(r"(\d+)", path)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
