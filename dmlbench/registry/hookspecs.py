"""The whole plugin contract: seven hooks, called once, when a name is first looked up.

Each takes nothing and yields descriptors; none may import torch. An entry point in the group `dmlbench`
names the module (or object) that implements them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from dmlbench.registry.descriptors import (
        AugmenterPlugin,
        BackbonePlugin,
        DatasetPlugin,
        LossPlugin,
        MethodPlugin,
        MinerPlugin,
        SamplerPlugin,
    )

PROJECT = "dmlbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: Of all that plugins may use. A new major version may take something away; a minor one only adds.
API_VERSION = (1, 0)


@hookspec
def dmlbench_losses() -> Iterable[LossPlugin]:  # type: ignore[empty-body]
    """Losses, regularisers, combiners and listeners."""


@hookspec
def dmlbench_samplers() -> Iterable[SamplerPlugin]:  # type: ignore[empty-body]
    """Which images form a batch."""


@hookspec
def dmlbench_miners() -> Iterable[MinerPlugin]:  # type: ignore[empty-body]
    """Which pairs or triplets inside a batch count."""


@hookspec
def dmlbench_augmenters() -> Iterable[AugmenterPlugin]:  # type: ignore[empty-body]
    """More training signal: extra embeddings or changed images."""


@hookspec
def dmlbench_backbones() -> Iterable[BackbonePlugin]:  # type: ignore[empty-body]
    """Image to feature, and heads: feature to embedding."""


@hookspec
def dmlbench_datasets() -> Iterable[DatasetPlugin]:  # type: ignore[empty-body]
    """Pictures with classes."""


@hookspec
def dmlbench_methods() -> Iterable[MethodPlugin]:  # type: ignore[empty-body]
    """Recipes, each a TOML file inside the plugin's package."""
