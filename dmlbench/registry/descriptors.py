"""What a hook yields: what a plugin offers, as data, known before any of its code is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from dmlbench.errors import ContractError
from dmlbench.registry.fields import check_fields

ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,63}"
_ID = re.compile(ID_PATTERN)
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Common to all kinds. Raises `ContractError` when a field does not have its form."""

    kind: ClassVar[str]

    id: str
    """`[a-z0-9][a-z0-9-]{0,63}`, unique inside a distribution."""
    target: str
    """`module:attribute` of the function or class; imported when it is built, not before."""
    summary: str = ""
    """One line for `dmlbench list`."""
    reference: str = ""
    """Paper or address."""
    extra: str = ""
    """The extra of the plugin's distribution that brings what the target imports."""
    imports: tuple[str, ...] = ()
    """Top-level modules that `extra` brings; while one is missing the component is `unavailable`."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """Maps a foreign argument name to a name of ours: `{"indices_tuple": "triplets"}`."""
    oracle: tuple[str, ...] = ()
    """Settings that stand for what only core knows, e.g. the rate of wrong labels; a recipe that sets one is
    marked."""
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    """Checks of the conformance kit that it may fail, each with its reason; one that passes is a failure."""

    def __post_init__(self) -> None:
        # A stranger may derive from these classes; the fields that we read are ours.
        check_fields(self, next(kind for kind in type(self).__mro__ if kind.__module__ == __name__))
        if not _ID.fullmatch(self.id):
            raise ContractError(
                f"{type(self).__name__} id {self.id!r} is not of the form {ID_PATTERN}",
                way_out="lower-case letters, digits and hyphens, e.g. 'proxy-ring'",
            )
        if not _TARGET.fullmatch(self.target):
            raise ContractError(
                f"{type(self).__name__} {self.id!r}: target {self.target!r} is not 'module:attribute'",
                way_out="e.g. target='acme_losses.proxy_ring:ProxyRing'",
            )
        for name in self.imports:
            if not name.isidentifier():
                raise ContractError(
                    f"{type(self).__name__} {self.id!r}: imports {name!r} is no top-level module",
                    way_out="the name before the first dot, e.g. imports=('timm',)",
                )


@dataclass(frozen=True, kw_only=True)
class LossPlugin(Plugin):
    """A term of the objective, or what shapes it.

    `combiner` replaces the weighted sum of terms; a `listener` only has events, e.g. a relabeller.
    """

    kind = "loss"
    role: Literal["loss", "regulariser", "combiner", "listener"] = "loss"


@dataclass(frozen=True, kw_only=True)
class SamplerPlugin(Plugin):
    """`provides` lists the roles that its batches carry, e.g. `is_representative`."""

    kind = "sampler"
    provides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MinerPlugin(Plugin):
    """`yields` says what its answer is: that name becomes readable to the term that uses it."""

    kind = "miner"
    yields: Literal["pairs", "triplets", "weights"]


@dataclass(frozen=True, kw_only=True)
class AugmenterPlugin(Plugin):
    """`at` says which rows it extends: images, embeddings before (`raw`) or after normalisation (`unit`)."""

    kind = "augmenter"
    at: Literal["image", "raw", "unit"]


@dataclass(frozen=True, kw_only=True)
class BackbonePlugin(Plugin):
    """Image to feature, or with `role="head"` feature to embedding."""

    kind = "backbone"
    role: Literal["backbone", "head"] = "backbone"
    weights: str = ""
    """Pre-training data and licence of the weights; empty when trained from scratch."""


@dataclass(frozen=True, kw_only=True)
class DatasetPlugin(Plugin):
    """Pictures with classes; `licence` and `attribution` are shown beside every drawing."""

    kind = "dataset"
    licence: str = ""
    attribution: str = ""


@dataclass(frozen=True, kw_only=True)
class MethodPlugin(Plugin):
    """A recipe; `target` is `package:name`: the file `name.toml` (underscores for hyphens) in there."""

    kind = "method"


KINDS: dict[str, type[Plugin]] = {
    "dmlbench_losses": LossPlugin,
    "dmlbench_samplers": SamplerPlugin,
    "dmlbench_miners": MinerPlugin,
    "dmlbench_augmenters": AugmenterPlugin,
    "dmlbench_backbones": BackbonePlugin,
    "dmlbench_datasets": DatasetPlugin,
    "dmlbench_methods": MethodPlugin,
}
