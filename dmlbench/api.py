"""All that a plugin may import. Names resolve on first use, so that a descriptor module loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmlbench.data.items import Download as Download
    from dmlbench.data.items import Item as Item
    from dmlbench.errors import ContractError as ContractError
    from dmlbench.errors import DataError as DataError
    from dmlbench.errors import DmlbenchError as DmlbenchError
    from dmlbench.errors import MissingPackageError as MissingPackageError
    from dmlbench.errors import UsageError as UsageError
    from dmlbench.registry.descriptors import AugmenterPlugin as AugmenterPlugin
    from dmlbench.registry.descriptors import BackbonePlugin as BackbonePlugin
    from dmlbench.registry.descriptors import DatasetPlugin as DatasetPlugin
    from dmlbench.registry.descriptors import LossPlugin as LossPlugin
    from dmlbench.registry.descriptors import MethodPlugin as MethodPlugin
    from dmlbench.registry.descriptors import MinerPlugin as MinerPlugin
    from dmlbench.registry.descriptors import SamplerPlugin as SamplerPlugin
    from dmlbench.registry.hookspecs import API_VERSION as API_VERSION
    from dmlbench.registry.hookspecs import hookimpl as hookimpl
    from dmlbench.run.finished import FinishedNetwork as FinishedNetwork
    from dmlbench.score import Scores as Scores
    from dmlbench.score import score as score
    from dmlbench.train.state import State as State
    from dmlbench.train.values import Batch as Batch
    from dmlbench.train.values import NewRows as NewRows
    from dmlbench.train.values import Pairs as Pairs
    from dmlbench.train.values import ParamGroup as ParamGroup
    from dmlbench.train.values import Triplets as Triplets

_HOMES = {
    "dmlbench.data.items": ("Download", "Item"),
    "dmlbench.errors": ("ContractError", "DataError", "DmlbenchError", "MissingPackageError", "UsageError"),
    "dmlbench.registry.descriptors": (
        "AugmenterPlugin",
        "BackbonePlugin",
        "DatasetPlugin",
        "LossPlugin",
        "MethodPlugin",
        "MinerPlugin",
        "SamplerPlugin",
    ),
    "dmlbench.registry.hookspecs": ("API_VERSION", "hookimpl"),
    "dmlbench.run.finished": ("FinishedNetwork",),
    "dmlbench.score": ("Scores", "score"),
    "dmlbench.train.state": ("State",),
    "dmlbench.train.values": ("Batch", "NewRows", "Pairs", "ParamGroup", "Triplets"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dmlbench.api' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
