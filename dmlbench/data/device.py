"""From stored bytes to floats on the device."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def on_device(
    images: UInt8[Tensor, "batch height width channel"], device: torch.device | str
) -> Float[Tensor, "batch channel height width"]:
    """Pixels from 0 to 255; bytes cross to the device, not floats, and the view already is channels-last.

    To a GPU they cross from pinned memory, while the processor goes on. The next batch is not read ahead:
    what a sampler draws next may depend on what this step makes of the network.
    """
    if torch.device(device).type == "cuda":
        images = images.pin_memory()
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32)
