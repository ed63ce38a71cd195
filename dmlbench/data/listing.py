"""A data set's items, asked for and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dmlbench.data.items import Dataset, Item
from dmlbench.errors import ContractError, DataError


def items_of(dataset: Dataset, root: Path | None) -> Sequence[Item]:
    """The data set's items at `root`. `DataError` when they cannot be read, are none or share a name,
    `ContractError` when they do not all say the same of themselves."""
    try:
        items = dataset.items(root)
    except OSError as error:
        raise DataError(
            f"cannot read the data set: {error.strerror}", place=error.filename or root
        ) from error
    if not items:
        raise DataError("the data set has no items", place=root or type(dataset).__name__)
    seen: set[str] = set()
    for item in items:
        if item.path in seen:
            raise DataError(f"two items are called {item.path}", place=root or type(dataset).__name__)
        if item.columns.keys() != items[0].columns.keys():
            raise ContractError(
                f"{item.path} has columns {sorted(item.columns)}, the first item {sorted(items[0].columns)}",
                place=f"{type(dataset).__name__}.items",
            )
        if bool(item.labels) != bool(items[0].labels) or len(set(item.labels)) < len(item.labels):
            raise ContractError(
                f"{item.path} has the labels {list(item.labels)}, the first item {list(items[0].labels)}",
                place=f"{type(dataset).__name__}.items",
                way_out="every item has one or more labels, each once, or none has any",
            )
        seen.add(item.path)
    return items
