"""The built-in plugins. They see only `dmlbench.api` and come in by an entry point, like anyone's.

Each folder says what it offers and holds one component a file.
"""

from __future__ import annotations

from collections.abc import Iterator

from dmlbench.api import (
    AugmenterPlugin,
    BackbonePlugin,
    DatasetPlugin,
    LossPlugin,
    MethodPlugin,
    MinerPlugin,
    SamplerPlugin,
    hookimpl,
)
from dmlbench_plugins import augmenters, backbones, datasets, losses, methods, miners, samplers


@hookimpl
def dmlbench_losses() -> Iterator[LossPlugin]:
    return losses.offered()


@hookimpl
def dmlbench_samplers() -> Iterator[SamplerPlugin]:
    return samplers.offered()


@hookimpl
def dmlbench_miners() -> Iterator[MinerPlugin]:
    return miners.offered()


@hookimpl
def dmlbench_augmenters() -> Iterator[AugmenterPlugin]:
    return augmenters.offered()


@hookimpl
def dmlbench_backbones() -> Iterator[BackbonePlugin]:
    return backbones.offered()


@hookimpl
def dmlbench_datasets() -> Iterator[DatasetPlugin]:
    return datasets.offered()


@hookimpl
def dmlbench_methods() -> Iterator[MethodPlugin]:
    return methods.offered()
