"""A CSV file that lists pictures."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Literal

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.own_data import (
    SIDES,
    Box,
    check_names,
    content_of,
    shorter_side,
    square,
    stamp_of,
    whole,
)

NEEDED = ("path", "label")
KNOWN = (*NEEDED, "split", "group", "superclass", "labels", "box", "domain", "role")
ROLES = ("query", "gallery")


class CsvList:
    """A line a picture: `path`, from the file's own folder, and `label`, the name of its class.

    Further columns, all optional: `split` (train, validation or test), `group` (what stays on one side),
    `superclass`, `labels` (several, separated by `;`), `box` (`x,y,w,h` in pixels: all that is seen),
    `domain`, and `role` (query or gallery). Columns of other names are kept beside these. Without a box the
    central square of a picture is seen. The file is UTF-8 and begins with the columns' names.
    """

    needs_root = True
    downloads: tuple[Download, ...] = ()

    def __init__(self) -> None:
        self._files: dict[str, tuple[Path, Box | None]] = {}

    def versions(self) -> dict[str, str]:
        return {}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` names the line that is at fault."""
        if root is None or not root.is_file():
            raise DataError(
                "not a file", place=root, way_out="csv:PATH, a file with the columns path and label"
            )
        rows = list(_rows(root))
        columns = set(rows[0][1]) if rows else set()
        sided = any(row.get("split") for _, row in rows)
        places = _places([(row["path"], place) for place, row in rows], root.parent)
        found: dict[str, Item] = {}
        for (place, row), path in zip(rows, places, strict=True):
            box = _box(row.get("box", ""), place)
            name = f"{path}#{','.join(map(str, box))}" if box else path
            if name in found:
                raise DataError(f"{name} is there twice", place=f"{found[name].place} and {place}")
            found[name] = _item(name, row, columns, sided, place)
            self._files[name] = root.parent / row["path"], box
        return sorted(found.values(), key=lambda item: item.path)

    def source(self, item: Item) -> bytes:
        """The file, whole; the box is in the item's path."""
        return content_of(self._files[item.path][0])

    def picture(self, item: Item, size: int) -> Image.Image:
        """What is in the box, or the central square."""
        return square(self.source(item), size, self._files[item.path][1])

    def whole_picture(self, item: Item, size: int) -> Image.Image:
        """What is in the box, or all of it, with a shorter side of `size`."""
        return whole(self.source(item), size, self._files[item.path][1])

    def stamp(self, item: Item) -> str:
        """Changes when the picture's file does."""
        return stamp_of(self._files[item.path][0])

    def side(self, item: Item) -> int:
        """The shorter side in pixels, of the box where there is one."""
        box = self._files[item.path][1]
        return min(box[2] - box[0], box[3] - box[1]) if box else shorter_side(self.source(item))


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each line is, and its cells by the columns' names."""
    header: list[str] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            for cells in reader:
                place = f"{file}, line {reader.line_num}"
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                if not header:
                    _check_header(header := cells, place)
                elif len(cells) != len(header):
                    raise DataError(f"{len(cells)} cells, and {len(header)} columns", place=place)
                else:
                    yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", place=f"{file}, line {reader.line_num}") from error
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", place=file) from error
    if not header:
        raise DataError("the file is empty", place=file, way_out=f"columns: {', '.join(KNOWN)}")


def _check_header(header: list[str], place: str) -> None:
    check_names(header, KNOWN, place)
    for name in NEEDED:
        if name not in header:
            raise DataError(
                f"there is no column {name!r}", place=place, way_out=f"columns: {', '.join(KNOWN)}"
            )
    if len(set(header)) < len(header):
        raise DataError("two columns have one name", place=place)


def _places(paths: list[tuple[str, str]], folder: Path) -> list[str]:
    """A name for each picture that says the same wherever the data is: the path from `folder`; where a path
    is absolute, from what all have in common."""
    for path, place in paths:
        if not path:
            raise DataError("the cell `path` is empty", place=place)
    if not any(PurePath(path).is_absolute() for path, _ in paths):
        return [PurePath(os.path.normpath(path)).as_posix() for path, _ in paths]
    absolute = [os.path.normpath(folder / path) for path, _ in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return [PurePath(os.path.relpath(path, common)).as_posix() for path in absolute]


def _item(path: str, row: dict[str, str], columns: set[str], sided: bool, place: str) -> Item:
    label = row["label"]
    if not label:
        raise DataError("the cell `label` is empty", place=place)
    if row.get("role", "") not in ("", *ROLES):
        raise DataError(f"role {row['role']!r} is not query or gallery", place=place)
    labels = tuple(dict.fromkeys(name.strip() for name in row.get("labels", "").split(";") if name.strip()))
    if "labels" in columns and not labels:
        raise DataError("the cell `labels` is empty, and the file has that column", place=place)
    kept = columns - {"path", "label", "split", "group", "superclass", "labels", "box"}
    return Item(
        path=path,
        label=label,
        group=row.get("group") or label,
        part=_side(row.get("split", ""), place) if sided else "",
        columns={name: row[name] for name in sorted(kept)},
        superclass=row.get("superclass") or None,
        labels=labels,
        place=place,
    )


def _side(cell: str, place: str) -> Literal["train", "validation", "test"]:
    if cell.lower() not in SIDES:
        raise DataError(f"split {cell!r} is not train, validation or test", place=place)
    return SIDES[cell.lower()]


def _box(cell: str, place: str) -> Box | None:
    """`x,y,w,h`, also with spaces or semicolons, to whole pixels; None for an empty cell."""
    if not cell:
        return None
    try:
        x, y, width, height = (float(part) for part in re.split(r"[\s,;]+", cell.strip("[]() ")))
        box = round(x), round(y), round(x + width), round(y + height)
    except (ValueError, OverflowError) as error:
        raise DataError(f"the box {cell!r} is not x,y,w,h", place=place) from error
    if box[0] < 0 or box[1] < 0 or box[2] <= box[0] or box[3] <= box[1]:
        raise DataError(f"the box {cell!r} holds no pixel", place=place)
    return box
