"""The CPU kernels of `counting`, compiled by numba. Imported only where there is work enough for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# Similarities that stay in the first-level cache while all positives are compared with them.
_CHUNK = 2048


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # Without the interpreter's lock, so that threads can share a block; kept on disk for the next process.
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written to
        return numba.njit(nogil=True)(function)


# Whole loops of their own, with 32-bit counters: so the compiler makes vector instructions of them.
@_compiled
def _at_least(chunk: Any, value: Any) -> Any:
    count = np.int32(0)
    for i in range(chunk.shape[0]):
        count += np.int32(chunk[i] >= value)
    return count


@_compiled
def _more(chunk: Any, value: Any) -> Any:
    count = np.int32(0)
    for i in range(chunk.shape[0]):
        count += np.int32(chunk[i] > value)
    return count


@_compiled
def count_before(block: Any, values: Any, columns: Any, valid: Any, before: Any) -> None:
    """Add to `before` the items that stand before each valid positive: ties in the order of the columns."""
    for i in range(block.shape[0]):
        for start in range(0, block.shape[1], _CHUNK):
            chunk = block[i, start : start + _CHUNK]
            for j in range(values.shape[1]):
                if valid[i, j]:
                    cut = min(max(columns[i, j] - start, 0), len(chunk))
                    before[i, j] += _at_least(chunk[:cut], values[i, j]) + _more(chunk[cut:], values[i, j])


@_compiled
def count_ties(block: Any, values: Any, valid: Any, above: Any, not_below: Any) -> None:
    """Add the items that are more similar than each valid positive, and those at least as similar."""
    for i in range(block.shape[0]):
        for start in range(0, block.shape[1], _CHUNK):
            chunk = block[i, start : start + _CHUNK]
            for j in range(values.shape[1]):
                if valid[i, j]:
                    above[i, j] += _more(chunk, values[i, j])
                    not_below[i, j] += _at_least(chunk, values[i, j])
