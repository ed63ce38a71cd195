"""What components hand to core: plain frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """What a sampler draws when bare indices are not enough: `roles` has one value a row."""

    indices: Int[Tensor, " batch"]
    roles: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class NewRows:
    """What an augmenter returns: only the new rows, in the view (or the images) that it acts at.

    `source` is the position of the row each was made from; every other column follows it.
    """

    rows: Float[Tensor, new * dims]
    source: Int[Tensor, " new"]


@dataclass(frozen=True)
class Pairs:
    """Mined pairs. First line: positions among the anchors; second line: positions among the refs."""

    positive: Int[Tensor, "2 pairs_p"]
    negative: Int[Tensor, "2 pairs_n"]

    def __len__(self) -> int:
        return self.positive.shape[1] + self.negative.shape[1]


@dataclass(frozen=True)
class Triplets:
    """Mined triplets: positions of anchor (among the anchors), positive and negative (among the refs)."""

    indices: Int[Tensor, "3 triplets"]

    def __len__(self) -> int:
        return self.indices.shape[1]


@dataclass(frozen=True)
class ParamGroup:
    """Optimiser settings for some of a component's parameters; `param_groups()` returns a list of these.

    What is None is the track's. A rate is absolute (`rate`) or a multiple of the track's (`rate_factor`).
    """

    parameters: Iterable[nn.Parameter | nn.Module]
    objective: str = "main"
    """Whose gradient reaches them; losses of others than `main` are yielded by the component's events."""
    optimiser: Literal["adam", "adamw", "sgd", "rmsprop"] | None = None
    rate: float | None = None
    rate_factor: float = 1.0
    weight_decay: float | None = None
    clip_norm: float | None = None
    """Largest L2 norm of the group's gradient."""
    schedule: Literal["constant", "cosine"] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the torch optimiser, e.g. `{"eps": 1.0}`."""
