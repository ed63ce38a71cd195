"""Keeping float32 products float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Undo, for a while, the TF32 or bfloat16 products that training may have chosen.

    Products of fewer bits make ties, and a score must not depend on who trained before it in this process.
    (Autocast needs no undoing: it leaves products with a given `out` alone.)
    """
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    chosen = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, chosen, strict=True):
            backend.fp32_precision = precision
