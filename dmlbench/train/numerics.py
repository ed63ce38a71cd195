"""Device and arithmetic of a run: `cpu-fp32`, `cpu-bf16`, `cuda-bf16`, `cuda-fp32`.

Bits are comparable only within one numerics, so it is part of a run's key and never mixed in a pairing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property

import torch

from dmlbench.errors import UsageError

KNOWN = ("cpu-fp32", "cpu-bf16", "cuda-fp32", "cuda-bf16")


@dataclass(frozen=True)
class Numerics:
    """`name` is one of `KNOWN`."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in KNOWN:
            raise UsageError(f"no numerics named {self.name!r}", way_out=f"one of {', '.join(KNOWN)}")

    @cached_property
    def device(self) -> torch.device:
        return torch.device(self.name.split("-")[0])

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The context of trunk and heads; losses run outside it, in fp32."""
        if self.name.endswith("bf16"):
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


def best_numerics() -> str:
    """bf16 where the processor or accelerator multiplies it natively, fp32 elsewhere.

    Without matrix units a CPU emulates bf16, several times slower than fp32.
    """
    if torch.cuda.is_available():
        return "cuda-bf16"
    native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has_bf16 = any(getattr(torch.cpu, probe, lambda: False)() for probe in native)
    return "cpu-bf16" if has_bf16 else "cpu-fp32"
