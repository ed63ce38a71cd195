"""The network of a method on a track: its backbone and heads, built and put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dmlbench.spec.method import Method
from dmlbench.spec.track import Track
from dmlbench.train.component import Built, build
from dmlbench.train.model import Model
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe_checks import check_width
from dmlbench.train.signature import entry_point


@dataclass(frozen=True)
class Network:
    """`facts` are those given and the widths that the backbone has."""

    model: Model
    backbone: Built
    heads: dict[str, Built]
    facts: dict[str, Any]


def build_network(
    method: Method,
    track: Track,
    facts: Mapping[str, Any],
    columns: set[str],
    numerics: Numerics,
    seed: int,
    home: str,
) -> Network:
    """Build trunk and heads as they start. `columns` are those of the data set that a backbone may ask for.

    Raises `UsageError`, `SpecError` or `ContractError` for a wrong name, setting or signature.
    """
    spec = method.backbone or track.backbone
    backbone = build("backbone", spec, "backbone", facts, seed, home, role="backbone")
    check_width(backbone, track.images.size)
    facts = {**facts, "feature_dim": getattr(backbone.module, "feature_dim", None)}
    maps: set[str] = set()
    if isinstance(widths := getattr(backbone.module, "feature_maps", None), Mapping):
        facts["map_widths"] = dict(widths)
    if hasattr(backbone.module, "feature_maps"):
        maps = {"feature_maps"}
    heads = {
        name: build("backbone", head, name, facts, seed, home, role="head")
        for name, head in (method.heads or {"main": track.head}).items()
    }
    backbone.read("backbone", entry_point(backbone.object), present={"images", *columns})
    for head in heads.values():
        head.read("head", entry_point(head.object), present={"features"} | maps)
    model = Model(backbone, heads, numerics, freeze_batchnorm=track.batchnorm == "frozen")
    return Network(model, backbone, heads, facts)
