"""Embeddings and labels as they come, checked and made tensors; every error names the row and the way out."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import DataError

# Squares of larger entries do not fit float64.
_LARGEST = 1e150
# Rows that are looked at together.
_ROWS = 2**16


def as_embeddings(values: Tensor | np.ndarray, name: str) -> Float[Tensor, "item dim"]:
    """A detached float tensor [item, dim] on its own device; integers and booleans become float64.

    Raises `DataError` when it is empty, not two-dimensional, not real, or not finite.
    """
    tensor = _tensor(values, name)
    if tensor.ndim != 2:
        raise DataError(f"expected rows of embeddings, got {_shape(tensor)}", place=name)
    if 0 in tensor.shape:
        raise DataError(f"there is nothing to score: {_shape(tensor)}", place=name)
    if tensor.is_complex():
        raise DataError(f"expected real numbers, got {tensor.dtype}", place=name)
    if not tensor.is_floating_point():
        tensor = tensor.double()
    limit = min(_LARGEST, torch.finfo(tensor.dtype).max)
    bad = torch.cat([_beyond(rows, limit) for rows in tensor.split(_ROWS)])
    if bool(bad.any()):
        rows = bad.nonzero().squeeze(1)
        raise DataError(
            f"row {int(rows[0])} is not finite: it holds NaN, infinity or a number beyond {limit:.3g} "
            f"({len(rows)} of {len(tensor)} rows do)",
            place=name,
            way_out="a model that diverged has no score; look at the loss, the rate and the precision",
        )
    return tensor


def _beyond(rows: Float[Tensor, "row dim"], limit: float) -> Bool[Tensor, " row"]:
    low, high = torch.aminmax(rows, dim=1)
    return ~((low >= -limit) & (high <= limit))  # NaN fails every comparison


def as_labels(
    values: Tensor | np.ndarray, rows: int, name: str
) -> Int[Tensor, " item"] | Int[Tensor, "item label"]:
    """int64 class ids, one for each of `rows` embeddings, or a row of 0 and 1 for each: its several labels.

    Ids are any integers, compared exactly.
    """
    tensor = _tensor(values, name)
    if tensor.is_floating_point() or tensor.is_complex():
        raise DataError(
            f"labels are whole numbers, got {tensor.dtype}", place=name, way_out="labels.astype('int64')"
        )
    if tensor.ndim not in (1, 2) or len(tensor) != rows:
        raise DataError(f"expected {rows} labels, one for each embedding, got {_shape(tensor)}", place=name)
    if tensor.dtype == torch.uint64 and bool((tensor.long() < 0).any()):
        raise DataError("labels from 2^63 on are no int64", place=name, way_out="smaller ids")
    tensor = tensor.long().contiguous()
    if tensor.ndim == 2 and (tensor.shape[1] < 2 or not bool(((tensor == 0) | (tensor == 1)).all())):
        raise DataError(
            f"expected {rows} labels, one for each embedding; a row of several labels is one of 0 and 1, "
            f"got {_shape(tensor)}",
            place=name,
            way_out="labels[:, 0] for class ids, or a column for each label",
        )
    return tensor


def _tensor(values: Tensor | np.ndarray, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype.kind not in "fiubc" or array.dtype.itemsize > 16:
        raise DataError(f"expected an array of numbers, got {array.dtype}", place=name)
    if array.dtype == np.longdouble and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    # torch takes neither a foreign byte order nor negative strides.
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder(sys.byteorder))
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():
        # Read-only memory, such as a mapped file, stays where it is: nothing here writes to its input.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _shape(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}"
