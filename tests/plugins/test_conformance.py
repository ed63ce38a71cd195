"""Every built-in passes by the same door as anyone's component."""

import pytest

from dmlbench.registry.hookspecs import PROJECT
from dmlbench.registry.registry import registry
from dmlbench.testing.report import checks_of

_LARGE = ("pml:", "timm:", "dmlbench:resnet", "dmlbench:efficientnet")


def _params():
    for entry in registry().entries:
        if entry.distribution != PROJECT:
            continue
        kind, name = entry.plugin.kind, entry.full_id
        marks = [pytest.mark.slow] if name.startswith(_LARGE) else []
        if entry.status != "ok":
            marks.append(pytest.mark.skip(reason=f"{entry.status}: {entry.detail}"))
            yield pytest.param(None, id=f"{kind}-{name}", marks=marks)
            continue
        for case in checks_of(entry):
            yield pytest.param(case, id=f"{kind}-{name}-{case}", marks=marks)


@pytest.mark.parametrize("case", list(_params()))
def test_conformance(case):
    case()


def test_every_kind_is_there():
    kinds = {entry.plugin.kind for entry in registry().entries if entry.distribution == PROJECT}
    assert kinds == {"loss", "sampler", "miner", "augmenter", "backbone", "dataset", "method"}
