"""PML's miners as components: `dmlbench_plugins.pml.miners:BatchHardMiner` and so on, made when asked for."""

from __future__ import annotations

import functools
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from pytorch_metric_learning import miners
from torch import Tensor, nn

from dmlbench.api import Pairs, Triplets, UsageError
from dmlbench_plugins.pml.constructors import announce, constructor
from dmlbench_plugins.pml.miner_table import MINERS
from dmlbench_plugins.pml.scratch import scratch


class _Adapter(nn.Module):
    """A PML miner: rows of the batch against themselves, or against refs that have labels of their own."""

    def __init__(self, pml: nn.Module) -> None:
        super().__init__()
        self.pml = pml

    def forward(
        self,
        anchors: Float[Tensor, "anchors dim"],
        refs: Float[Tensor, "refs dim"],
        labels: Int[Tensor, " rows"],
        ref_labels: Int[Tensor, " refs"],
        positives: Bool[Tensor, "anchors refs"],
    ) -> Pairs | Triplets:
        if len(labels) != len(anchors):
            raise UsageError(
                f"{type(self.pml).__name__} needs every row as an anchor; here {len(labels) - len(anchors)} "
                "rows are refs only",
                way_out="a term whose refs are 'same', 'all', 'real' or 'memory'",
            )
        # PML leaves a row out of its own positives only when it is told that refs are the rows.
        others = () if refs is anchors else (refs, ref_labels)
        chosen = scratch(self.pml)(anchors, labels, *others)
        keep = positives[chosen[0], chosen[1]]
        if len(chosen) == 3:
            return Triplets(torch.stack(chosen)[:, keep])
        return Pairs(torch.stack(chosen[:2])[:, keep], torch.stack(chosen[2:]))


@functools.cache
def adapter(name: str) -> type[nn.Module]:
    """The component class for PML's miner `name`.

    `__wrapped__` is PML's class, so that the source digest of a run follows PML's file.
    """
    upstream = getattr(miners, name)
    build = constructor(upstream)

    def __init__(self: _Adapter, **given: Any) -> None:
        _Adapter.__init__(self, build(given))

    body = {"__init__": __init__, "__signature__": announce(__init__, build, {}), "__wrapped__": upstream}
    return type(name, (_Adapter,), {**body, "__module__": __name__, "__doc__": upstream.__doc__})


def __getattr__(name: str) -> type[nn.Module]:
    if name not in MINERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return adapter(name)
