import json

import pytest

from dmlbench import __version__
from dmlbench.cli.list import PLUGIN_KINDS, RULE_KINDS


@pytest.mark.parametrize("kind", [*PLUGIN_KINDS, *RULE_KINDS])
def test_json_is_a_list_of_objects_with_the_same_first_keys(dmlbench, kind):
    rows = json.loads(dmlbench("list", kind, "--json").out)
    assert rows
    for row in rows:
        assert list(row) == ["id", "distribution", "version", "status", "summary"]
        assert row["summary"]


@pytest.mark.parametrize("kind", [*PLUGIN_KINDS, *RULE_KINDS])
def test_the_table_names_every_id(dmlbench, kind):
    rows = json.loads(dmlbench("list", kind, "--json").out)
    table = dmlbench("list", kind)
    assert table.status == 0
    for row in rows:
        assert row["id"] in table.out


def test_own_rules_are_listed_as_local(project, dmlbench):
    rows = {row["id"]: row for row in json.loads(dmlbench("list", "task", "--json").out)}
    assert (rows["tiny"]["distribution"], rows["emoji"]["distribution"]) == ("local", "dmlbench")
    assert rows["emoji"]["version"] == __version__


def test_a_broken_plugin_is_told_of_beside_the_table(distribution, installed, dmlbench):
    installed(distribution("acme-losses", "1 / 0").site)
    done = dmlbench("list", "loss")
    assert done.status == 0
    assert "dmlbench:contrastive" in done.out
    assert "acme-losses (plugin) is broken: ZeroDivisionError: division by zero" in done.err


def test_a_recipe_that_cannot_be_read_costs_only_itself(distribution, installed, dmlbench):
    code = """
    from dmlbench.api import MethodPlugin, hookimpl

    @hookimpl
    def dmlbench_methods():
        yield MethodPlugin(id="absent", target="acme_methods:absent")
        yield MethodPlugin(id="wrong", target="acme_methods:wrong")
        yield MethodPlugin(id="no-toml", target="acme_methods:no_toml")
    """
    files = {"wrong__toml": 'id = "wrong"\n', "no_toml__toml": "= 1"}
    installed(distribution("acme-methods", code, **files).site)
    rows = {row["id"]: row for row in json.loads(dmlbench("list", "method", "--json").out)}
    assert rows["dmlbench:das"]["status"] == "ok"
    assert rows["acme-methods:absent"]["summary"] == (
        "method 'acme-methods:absent': no file absent.toml in acme_methods"
    )
    assert "Field required" in rows["acme-methods:wrong"]["summary"]
    assert "not valid TOML" in rows["acme-methods:no-toml"]["summary"]
    assert {rows[f"acme-methods:{name}"]["status"] for name in ("absent", "wrong", "no-toml")} == {"broken"}
