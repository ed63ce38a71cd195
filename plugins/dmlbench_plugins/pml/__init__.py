"""Losses and miners of pytorch-metric-learning 2.9.0, as `pml:id`: `pip install "dmlbench[pml]"`."""

from __future__ import annotations

from collections.abc import Iterator

from dmlbench.api import LossPlugin, MinerPlugin, hookimpl
from dmlbench_plugins.pml.loss_table import LOSSES
from dmlbench_plugins.pml.miner_table import MINERS
from dmlbench_plugins.pml.names import id_of

_NEEDS = {"extra": "pml", "imports": ("pytorch_metric_learning",)}


@hookimpl
def dmlbench_losses() -> Iterator[LossPlugin]:
    for name, loss in LOSSES.items():
        yield LossPlugin(
            id=id_of(name),
            target=f"{__name__}.losses:{name}",
            summary=loss.summary,
            reference=loss.reference,
            expected_failures=loss.fails,
            **_NEEDS,
        )


@hookimpl
def dmlbench_miners() -> Iterator[MinerPlugin]:
    for name, miner in MINERS.items():
        yield MinerPlugin(
            id=id_of(name),
            target=f"{__name__}.miners:{name}",
            yields=miner.yields,
            summary=miner.summary,
            reference=miner.reference,
            expected_failures=miner.fails,
            **_NEEDS,
        )
