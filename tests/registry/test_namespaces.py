"""`namespace:id` everywhere: in look-ups, in method names, in the names of files."""

from pathlib import Path

import pytest

from dmlbench.errors import MissingPackageError, UsageError
from dmlbench.registry.descriptors import LossPlugin, MinerPlugin
from dmlbench.registry.registry import Registry, registry
from dmlbench.registry.report import Entry
from dmlbench.results.layout import records_file
from dmlbench.run.methods import resolve_method


def offer(id, distribution="dmlbench", point="builtin", kind=LossPlugin, **fields):
    return Entry(kind(id=id, target="json:loads", **fields), distribution, "1", point=point)


@pytest.fixture
def offered(monkeypatch):
    """Offer only these entries to whoever looks."""

    def put(*entries):
        made = Registry([], list(entries))
        monkeypatch.setattr("dmlbench.run.methods.registry", lambda: made)
        return made

    return put


@pytest.mark.parametrize(
    ("distribution", "point", "full_id"),
    [
        ("dmlbench", "builtin", "dmlbench:x"),
        ("dmlbench", "pml", "pml:x"),
        ("acme-losses", "pml", "acme-losses:x"),
        ("acme-losses", "builtin", "acme-losses:x"),
        ("local", "", "local:x"),
    ],
)
def test_the_namespace_is_the_distribution_save_for_our_own_further_entry_points(
    distribution, point, full_id
):
    assert offer("x", distribution, point).full_id == full_id


def test_a_component_of_a_further_entry_point_is_found_by_its_namespace_and_its_short_id(offered):
    circle = offer("circle-loss", point="pml")
    found = offered(circle, offer("circle"))
    assert found.find("loss", "pml:circle-loss") == found.find("loss", "circle-loss") == circle
    with pytest.raises(UsageError) as error:
        found.find("loss", "dmlbench:circle-loss")
    assert error.value.near == "pml:circle-loss"


def test_one_id_in_two_of_our_namespaces_is_no_conflict_and_home_decides(offered):
    ours, wrapped = offer("triplet"), offer("triplet", point="pml")
    found = offered(ours, wrapped)
    assert found.find("loss", "triplet", home="dmlbench") == ours
    assert found.find("loss", "triplet", home="pml") == wrapped
    with pytest.raises(UsageError, match="offered by several plugins") as error:
        found.find("loss", "triplet", home="acme")
    assert error.value.way_out == "dmlbench:triplet or pml:triplet"


def test_a_bare_loss_is_a_method_of_its_namespace_and_so_is_its_file(offered):
    offered(offer("circle-loss", point="pml"))
    name, method = resolve_method("pml:circle-loss")
    assert name == "pml:loss-circle-loss"
    assert method.terms["loss"].component == "pml:circle-loss"
    assert records_file(Path("board"), name) == Path("board/records/pml__loss-circle-loss.jsonl")
    assert resolve_method("circle-loss", ["loss.m=1"])[0].startswith("pml:loss-circle-loss@")


def test_kinds_do_not_share_names(offered):
    loss, miner = offer("hard"), offer("hard", kind=MinerPlugin, yields="pairs")
    assert offered(loss, miner).find("miner", "hard") == miner


def test_an_extra_is_that_of_the_distribution_not_of_the_namespace(offered):
    entry = offer("x", point="pml", extra="pml", imports=("nothing_of_that_name",))
    found = offered(Entry(entry.plugin, "dmlbench", "1", "unavailable", "", point="pml"))
    with pytest.raises(MissingPackageError) as error:
        found.find("loss", "pml:x")
    assert error.value.way_out == 'pip install "dmlbench[pml]"'


def test_the_built_ins_are_called_what_they_were():
    assert registry().find("loss", "multi-similarity", home="dmlbench").full_id == "dmlbench:multi-similarity"
    assert registry().find("sampler", "dmlbench:pk").namespace == "dmlbench"
