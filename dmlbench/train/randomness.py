"""Randomness is derived, never carried: every generator is a function of (seed, stream, component, step).

So a resumed run needs no generator state, and adding a component never shifts another one's numbers.
Streams: `init`, `batches`, `augment`, and `component` for everything else.
"""

from __future__ import annotations

import hashlib
import random
import sys

import torch


def derive(seed: int, stream: str, component: str = "", step: int = 0) -> int:
    """A 63-bit integer that differs wherever any argument does."""
    text = f"{seed}/{stream}/{component}/{step}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, stream: str, component: str = "", step: int = 0) -> torch.Generator:
    """A CPU generator at the start of its stream."""
    return torch.Generator().manual_seed(derive(seed, stream, component, step))


def reseed_globals(seed: int) -> None:
    """Put the global generators at a known place, for components that use them without saying so.

    `torch.manual_seed` also walks every accelerator and takes 70-125 µs; the default generator alone takes 1.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed & 0xFFFFFFFF)
