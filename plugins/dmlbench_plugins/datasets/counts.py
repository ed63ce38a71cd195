"""Holding a copy of a data set against what its authors published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from dmlbench.api import DataError, Item

Published = Mapping[str, tuple[int, int]]
"""Classes and pictures of each part."""


def compare(
    items: Sequence[Item],
    published: Published,
    *,
    part: Callable[[Item], object] = lambda item: item.part,
    mistaken: Mapping[int, str] | None = None,
    way_out: str,
) -> None:
    """`DataError` unless each part has the classes and pictures that were published.

    `mistaken` explains copies that are something else, by their number of pictures.
    """
    pictures = Counter(str(part(item)) for item in items)
    classes = Counter(name for name, _ in {(str(part(item)), item.label) for item in items})
    found = {name: (classes[name], count) for name, count in pictures.items()}
    if found == dict(published):
        return
    if mistaken and len(items) in mistaken:
        raise DataError(f"{len(items):,} pictures: {mistaken[len(items)]}", way_out=way_out)
    odd = next(name for name in sorted({*found, *published}) if found.get(name) != published.get(name))
    raise DataError(
        f"{odd or 'the data set'} has {_said(found.get(odd))}, published are {_said(published.get(odd))}",
        way_out=f"{way_out}; --allow-partial takes a part of the set",
    )


def _said(counts: tuple[int, int] | None) -> str:
    classes, pictures = counts or (0, 0)
    return f"{pictures:,} pictures of {classes:,} classes"
