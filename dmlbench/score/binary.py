"""Binary codes by iterative quantisation (ITQ; Gong and Lazebnik, CVPR 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int8
from torch import Tensor

from dmlbench.errors import DataError, UsageError
from dmlbench.score.inputs import as_embeddings


@dataclass(frozen=True)
class Itq:
    """A rotation of the principal directions under which embeddings lie near the corners of a cube."""

    mean: Float[Tensor, " dim"]
    projection: Float[Tensor, "dim bits"]

    def codes(
        self, embeddings: Float[Tensor, "item dim"] | np.ndarray, centre: Literal["fit", "own"] = "fit"
    ) -> Int8[Tensor, "item bits"]:
        """The signs, -1 or +1, of the projected embeddings; the sign of 0 is +1.

        They are centred at the mean of those fitted, or at their `own`, as the public code for sketch
        retrieval does: then a code depends on the other rows, and a single row has no code.
        """
        if centre not in ("fit", "own"):
            raise UsageError(f"centre={centre!r}: embeddings are centred at the 'fit' or their 'own' mean")
        rows = as_embeddings(embeddings, "embeddings").double()
        if rows.shape[1] != len(self.mean):
            raise DataError(
                f"embeddings have {rows.shape[1]} dimensions, those fitted had {len(self.mean)}",
                place="embeddings",
            )
        mean = self.mean.to(rows.device) if centre == "fit" else rows.mean(dim=0)
        return _signs((rows - mean) @ self.projection.to(rows.device)).to(torch.int8)


def fit_itq(
    embeddings: Float[Tensor, "item dim"] | np.ndarray, bits: int = 64, iterations: int = 50, seed: int = 0
) -> Itq:
    """Find the rotation R of the principal components V that makes |sign(VR) - VR|² small.

    From a random rotation that `seed` fixes, R is `iterations` times replaced by the one that is best for the
    present signs (orthogonal Procrustes). Each step lowers the error or leaves it. All in float64.

    >>> points = torch.tensor([[5.0, 0.0], [4.0, 0.1], [-5.0, 0.0], [-4.0, -0.1]])
    >>> fit_itq(points, bits=1).codes(points).T
    tensor([[ 1,  1, -1, -1]], dtype=torch.int8)
    """
    rows = as_embeddings(embeddings, "embeddings").double()
    if not 1 <= bits <= rows.shape[1]:
        raise UsageError(f"bits={bits}: embeddings of {rows.shape[1]} dimensions have 1 to {rows.shape[1]}")
    if iterations < 0:
        raise UsageError(f"iterations={iterations}: none is the least")
    mean = rows.mean(dim=0)
    centred = rows - mean
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :bits]
    # Either sign is an eigenvector: with the largest entry positive, every LAPACK starts from the same place.
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    directions = directions * _signs(largest)
    components = centred @ directions
    rotation = _random_rotation(bits, seed).to(rows.device)
    for _ in range(iterations):
        left, _, right = torch.linalg.svd(components.T @ _signs(components @ rotation))
        rotation = left @ right
    return Itq(mean, directions @ rotation)


def _random_rotation(size: int, seed: int) -> Float[Tensor, "size size"]:
    """Uniform over the orthogonal matrices: QR leaves the signs open, and R's diagonal settles them."""
    normal = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rotation, upper = torch.linalg.qr(normal)
    return rotation * _signs(upper.diagonal())


def _signs(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """-1 or +1, where `torch.sign` has a third value at 0."""
    return torch.where(values >= 0, 1.0, -1.0).to(values.dtype)
