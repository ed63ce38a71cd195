"""Arrays from files: .npy, .npz and .safetensors, and nothing that could run code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import safe_open
from torch import Tensor

from dmlbench.errors import DataError, nearest

_WITH_KEYS = (".npz", ".safetensors")


def read_array(source: str) -> np.ndarray | Tensor:
    """The array in `source`: `path`, or `path:key` for a file that holds several.

    Raises `DataError` for a file that is missing, damaged, pickled or of another kind, and for a key that is
    missing, or needed because the file holds more than one array.
    """
    path, key = _split(source)
    suffix = path.suffix.lower()
    if not os.path.isfile(path):
        raise DataError("there is no such file", place=source)
    if suffix not in _READERS:
        raise DataError(
            f"{suffix or 'a file without a suffix'} is not a kind of array file",
            place=source,
            way_out=f"one of {', '.join(_READERS)}",
        )
    try:
        return _READERS[suffix](path, key, source)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes the libraries raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"cannot read the array: {reason}",
            place=source,
            way_out="save plain numbers as .npy, .npz or .safetensors; pickles are never loaded",
        ) from error


def _npy(path: Path, key: str | None, source: str) -> np.ndarray:
    """The file as memory, read as it is used; copied only where a page is written to."""
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="c")
    except ValueError:  # nothing to map: no rows, or objects, which are refused with their reason
        array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise DataError("the file holds an archive, not one array", place=source, way_out="call it .npz")
    return array


def _npz(path: Path, key: str | None, source: str) -> np.ndarray:
    arrays = np.load(path, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise DataError("the file holds one array, not an archive", place=source, way_out="call it .npy")
    with arrays:
        return arrays[_chosen(key, arrays.files, source)]


def _safetensors(path: Path, key: str | None, source: str) -> Tensor:
    with safe_open(path, framework="pt") as tensors:
        return tensors.get_tensor(_chosen(key, list(tensors.keys()), source))


def _split(source: str) -> tuple[Path, str | None]:
    path, colon, key = source.rpartition(":")
    if colon and Path(path).suffix.lower() in _WITH_KEYS and not Path(source).exists():
        return Path(path), key
    return Path(source), None


def _chosen(key: str | None, keys: list[str], source: str) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    listed = ", ".join(sorted(keys)) or "nothing"
    if key is None:
        raise DataError(
            f"the file holds {len(keys)} arrays", place=source, way_out=f"PATH:KEY; it has {listed}"
        )
    if key not in keys:
        raise DataError(
            f"no array is called {key!r}", place=source, near=nearest(key, keys), way_out=f"it has {listed}"
        )
    return key


_READERS: dict[str, Callable[[Path, str | None, str], np.ndarray | Tensor]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
}
