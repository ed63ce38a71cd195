import importlib
import importlib.metadata
import inspect
import json
import sys
import tomllib
from pathlib import Path

import pytest
from dmlbench_plugins import pml
from dmlbench_plugins.pml.loss_table import LOSSES
from dmlbench_plugins.pml.miner_table import MINERS
from dmlbench_plugins.pml.names import LEFT_OUT, id_of
from pytorch_metric_learning import losses, miners

from dmlbench.registry.registry import load_target, registry
from dmlbench.train.settings import settings_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plugins/pml.md").read_text()

LOSS_IDS = [
    "angular-loss",
    "arc-face-loss",
    "circle-loss",
    "contrastive-loss",
    "cos-face-loss",
    "dynamic-soft-margin-loss",
    "fast-ap-loss",
    "generalized-lifted-structure-loss",
    "histogram-loss",
    "instance-loss",
    "intra-pair-variance-loss",
    "large-margin-softmax-loss",
    "lifted-structure-loss",
    "manifold-loss",
    "margin-loss",
    "multi-similarity-loss",
    "nca-loss",
    "n-pairs-loss",
    "nt-xent-loss",
    "normalized-softmax-loss",
    "p2s-grad-loss",
    "pnp-loss",
    "proxy-anchor-loss",
    "proxy-nca-loss",
    "ranked-list-loss",
    "signal-to-noise-ratio-contrastive-loss",
    "smooth-ap-loss",
    "soft-triple-loss",
    "sphere-face-loss",
    "sub-center-arc-face-loss",
    "sup-con-loss",
    "threshold-consistent-margin-loss",
    "triplet-margin-loss",
    "tuplet-margin-loss",
]

MINER_IDS = [
    "angular-miner",
    "batch-easy-hard-miner",
    "batch-hard-miner",
    "distance-weighted-miner",
    "hdc-miner",
    "multi-similarity-miner",
    "pair-margin-miner",
    "triplet-margin-miner",
    "uniform-histogram-miner",
]


def classes_of(module):
    return {name for name, value in vars(module).items() if inspect.isclass(value)}


def test_the_version_is_the_one_that_the_table_describes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["pml"] == ["pytorch-metric-learning==2.9.0"]
    assert importlib.metadata.version("pytorch-metric-learning") == "2.9.0"


def test_every_public_class_is_offered_or_left_out_with_a_reason():
    assert {*LOSSES} | {*MINERS} | {*LEFT_OUT} == classes_of(losses) | classes_of(miners)
    assert not {*LEFT_OUT} & ({*LOSSES} | {*MINERS})
    assert {*LOSSES} <= classes_of(losses)
    assert {*MINERS} <= classes_of(miners)


def test_what_a_loss_of_pairs_reads_is_what_pml_has_as_one():
    of_pairs = {n for n, loss in LOSSES.items() if issubclass(getattr(losses, n), losses.GenericPairLoss)}
    assert of_pairs == {n for n, loss in LOSSES.items() if loss.reads == "pairs"}


def test_ids_are_pinned():
    assert [id_of(name) for name in LOSSES] == LOSS_IDS
    assert [id_of(name) for name in MINERS] == MINER_IDS
    assert [plugin.id for plugin in pml.dmlbench_losses()] == LOSS_IDS
    assert [plugin.id for plugin in pml.dmlbench_miners()] == MINER_IDS


@pytest.mark.parametrize("kind", ["loss", "miner"])
def test_all_of_them_are_found_by_their_full_id_and_can_be_imported(kind):
    for name in {"loss": LOSSES, "miner": MINERS}[kind]:
        entry = registry().find(kind, f"pml:{id_of(name)}")
        target = load_target(entry)
        assert (entry.status, entry.namespace, entry.plugin.extra) == ("ok", "pml", "pml")
        assert target.__name__ == name
        assert target is load_target(entry), "one class, however often it is asked for"


def test_a_class_that_is_not_offered_is_no_attribute():
    for module in ("losses", "miners"):
        adapters = importlib.import_module(f"dmlbench_plugins.pml.{module}")
        with pytest.raises(AttributeError, match="VICRegLoss"):
            adapters.VICRegLoss  # noqa: B018


def test_what_is_declared_to_fail_is_a_check():
    from dmlbench.testing.catalogue import CHECKS
    from dmlbench.testing.subject import Subject  # noqa: F401  (enters the checks)

    declared = {check for entry in (*LOSSES.values(), *MINERS.values()) for check in entry.fails}
    assert declared
    assert declared <= CHECKS.keys()


@pytest.fixture
def without_pml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.mark.usefixtures("without_pml")
def test_without_the_extra_they_are_listed_as_unavailable_and_nothing_else_is(dmlbench):
    for kind, ids in (("loss", LOSS_IDS), ("miner", MINER_IDS)):
        listed = json.loads(dmlbench("list", kind, "--json").out)
        unavailable = {entry["id"] for entry in listed if entry["status"] == "unavailable"}
        assert unavailable == {f"pml:{name}" for name in ids}
        assert len(unavailable) < len(listed)


@pytest.mark.usefixtures("without_pml")
@pytest.mark.parametrize("command", [("show", "loss"), ("run",)])
def test_without_the_extra_using_one_names_what_to_install(dmlbench, command):
    done = dmlbench(*command, "pml:circle-loss")
    assert done.status == 2
    assert 'pip install "dmlbench[pml]"' in done.err


def test_listing_loads_neither_torch_nor_pml(python):
    done = python(
        """
        import sys
        from dmlbench.cli import main
        try:
            main(["list", "loss"])
        except SystemExit as ended:
            assert not ended.code, ended.code
        assert not {"torch", "numpy", "pytorch_metric_learning"} & set(sys.modules)
        """
    )
    assert done.status == 0, done.err
    assert "pml:circle-loss" in done.out


TAKES = {"pairs": "miner, refs", "rows": "miner", "labels": "–", "embeddings": "–, no labels"}


def settings_of(kind, name):
    entry = registry().find(kind, f"pml:{id_of(name)}")
    fields = settings_model(load_target(entry), name).model_fields
    fields = {name: field for name, field in fields.items() if name != "mined"}
    shown = [f"`{n}`" if f.is_required() else f"`{n} = {f.default!r}`" for n, f in fields.items()]
    return ", ".join(shown).replace("'", '"') or "–"


def test_the_page_says_what_is_offered_with_which_settings_and_why_the_rest_is_not():
    wanted = [
        *(f"| `{id_of(n)}` | {TAKES[v.reads]} | {settings_of('loss', n)} |" for n, v in LOSSES.items()),
        *(f"| `{id_of(n)}` | {v.yields} | {settings_of('miner', n)} |" for n, v in MINERS.items()),
        *(f"| `{name}` | {reason} |" for name, reason in LEFT_OUT.items()),
    ]
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == wanted
