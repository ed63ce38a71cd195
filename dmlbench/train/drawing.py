"""What a sampler drew, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.train.values import Batch


def checked_batch(
    drawn: Batch | Int[Tensor, " batch"],
    promised: Collection[str],
    left_out: Bool[Tensor, " n"],
    largest: int,
) -> Batch:
    """`drawn` as a batch. `ContractError` when it breaks what a sampler promises.

    `promised` are the roles of its descriptor, `left_out` says which training images do not train now,
    `largest` is the track's images per step.
    """
    batch = drawn if isinstance(drawn, Batch) else Batch(drawn)
    if set(batch.roles) != set(promised):
        raise ContractError(
            f"the sampler drew the roles {sorted(batch.roles)}, it promised {sorted(promised)}"
        )
    if not 0 < len(batch.indices) <= largest:
        raise ContractError(
            f"the sampler drew {len(batch.indices)} images; a step has 1 to {largest}",
            way_out="its classes x images per class must fit the track's batch size",
        )
    if bool(left_out[batch.indices].any()):
        raise ContractError("the sampler drew an image that the current labels leave out")
    return batch
