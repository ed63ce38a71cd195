"""Published lists of wrong labels: a line an image, `path,label`."""

from __future__ import annotations

from collections.abc import Sequence

from dmlbench.errors import DataError

_PLACE = "noise list"


def read_noise_list(text: str, paths: Sequence[str]) -> dict[str, int]:
    """The label of each of `paths`, as the list numbers them.

    A list's paths may start with folders of its author's machine: the end decides. Lines about other images
    are passed over. Raises `DataError` for a line of another form, an image with two labels or with none.
    """
    if not paths:
        raise DataError(
            "the prepared data does not say which file a picture comes from",
            place=_PLACE,
            way_out="delete its folder and prepare it anew: dmlbench data prepare TASK",
        )
    wanted = set(paths)
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        path, comma, label = line.rpartition(",")
        if not comma or not label.strip().lstrip("-").isdigit():
            raise DataError(f"line {number} is not `path,label`: {line[:80]!r}", place=_PLACE)
        own = next((end for end in _ends(path.strip()) if end in wanted), None)
        if own is None:
            continue
        if found.setdefault(own, int(label)) != int(label):
            raise DataError(f"line {number} gives {own} a second label", place=_PLACE)
    missing = [path for path in paths if path not in found]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} training images are not in it, e.g. {missing[0]}",
            place=_PLACE,
            way_out="a list of this task's training images",
        )
    return found


def _ends(path: str) -> list[str]:
    """`a/b/c.jpg`, `b/c.jpg`, `c.jpg`."""
    parts = path.replace("\\", "/").split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]
