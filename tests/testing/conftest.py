from pathlib import Path

import pytest

from dmlbench.registry import descriptors
from dmlbench.registry.report import Entry

_HERE = Path(__file__).parent
_KINDS = {plugin.kind: plugin for plugin in descriptors.KINDS.values()}


@pytest.fixture(scope="session")
def entry_of():
    """`entry_of("loss", "broken/losses:unseeded")`: as if a distribution offered it."""

    def make(kind, name, **fields):
        file, _, attribute = name.partition(":")
        plugin = _KINDS[kind](id="made-by-a-test", target=f"{Path(file).stem}:{attribute}", **fields)
        return Entry(plugin, "test", "0", path=_HERE / f"{file}.py")

    return make
