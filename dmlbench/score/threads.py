"""Rows shared among threads, for work that holds no interpreter lock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

# Parts for each thread: whoever is free takes the next one. A thread of torch's may hold a core for a while
# after a product, and one of ours then comes late.
_PARTS = 8


def by_rows(work: Callable[..., None], *arrays: np.ndarray) -> None:
    """Call `work` on parts of the arrays' rows, on as many threads as torch uses."""
    threads = torch.get_num_threads()
    if threads == 1:
        work(*arrays)
        return
    parts = list(zip(*(np.array_split(array, threads * _PARTS) for array in arrays), strict=True))
    following = itertools.count()  # its `next` is one step of the interpreter: no part is taken twice

    def take() -> None:
        while (part := next(following)) < len(parts):
            work(*parts[part])

    others = [_pool(threads - 1).submit(take) for _ in range(threads - 1)]
    take()
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept: starting a thread waits for a free core."""
    return ThreadPoolExecutor(threads, thread_name_prefix="dmlbench-score")
