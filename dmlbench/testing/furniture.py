"""The kit's own components on offer, and only while a recipe of the kit is built."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from dmlbench.registry.descriptors import BackbonePlugin, DatasetPlugin, LossPlugin, MinerPlugin, Plugin
from dmlbench.registry.registry import registry
from dmlbench.registry.report import Entry

HOME = "dmlbench-testing"
_PARTS = "dmlbench.testing.parts"

_PLUGINS: tuple[Plugin, ...] = (
    DatasetPlugin(id="patterns", target="dmlbench.testing.data:Patterns"),
    BackbonePlugin(id="trunk", target=f"{_PARTS}:Trunk"),
    BackbonePlugin(id="teacher", target=f"{_PARTS}:Teacher"),
    BackbonePlugin(id="head", target=f"{_PARTS}:Head", role="head"),
    LossPlugin(id="pull-and-push", target=f"{_PARTS}:pull_and_push"),
    LossPlugin(id="spread", target=f"{_PARTS}:spread", role="regulariser"),
    LossPlugin(id="from-pairs", target=f"{_PARTS}:from_pairs"),
    LossPlugin(id="from-triplets", target=f"{_PARTS}:from_triplets"),
    LossPlugin(id="from-weights", target=f"{_PARTS}:from_weights"),
    MinerPlugin(id="all-pairs", target=f"{_PARTS}:all_pairs", yields="pairs"),
    MinerPlugin(id="all-triplets", target=f"{_PARTS}:all_triplets", yields="triplets"),
    MinerPlugin(id="all-weights", target=f"{_PARTS}:all_weights", yields="weights"),
)
FURNITURE = tuple(Entry(plugin, HOME, "0") for plugin in _PLUGINS)


@contextlib.contextmanager
def offering(entries: Sequence[Entry]) -> Iterator[None]:
    """The registry with these entries too, those that it has already aside."""
    offered = registry().entries
    known = {(entry.plugin.kind, entry.full_id) for entry in offered}
    before = len(offered)
    offered += [entry for entry in entries if (entry.plugin.kind, entry.full_id) not in known]
    try:
        yield
    finally:
        del offered[before:]
