"""Pictures made small, for core to cluster: nobody's network has a part in it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dmlbench.data.noise import CLUSTER_SIDE
from dmlbench.data.store import Part, Prepared


def small_pictures(data: Prepared, part: Part) -> Float[Tensor, "item pixels"]:
    """Each picture at 16 x 16 pixels, 0 to 1."""
    portions = []
    for rows in part.rows.split(1024):
        pictures = data.images[rows].permute(0, 3, 1, 2).float() / 255
        portions.append(functional.adaptive_avg_pool2d(pictures, CLUSTER_SIDE).flatten(start_dim=1))
    return torch.cat(portions)
