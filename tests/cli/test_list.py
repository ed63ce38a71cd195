import json

import pytest

from dmlbench import __version__
from dmlbench.cli.list import PLUGIN_KINDS, RULE_KINDS

KINDS = [*PLUGIN_KINDS, *RULE_KINDS, "plugin"]


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_a_list_of_objects_with_the_same_first_keys(dmlbench, kind):
    rows = json.loads(dmlbench("list", kind, "--json").out)
    assert rows
    for row in rows:
        assert list(row)[:6] == ["id", "distribution", "version", "status", "summary", "detail"]
        assert row["summary"]


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", PLUGIN_KINDS)
def test_a_broken_plugin_has_a_row_wherever_it_may_have_offered_something(
    distribution, installed, dmlbench, kind
):
    installed(distribution("acme-losses", "1 / 0", version="0.10").site)
    done = dmlbench("list", kind)
    assert done.status == 0
    last = done.out.splitlines()[-1].split()
    assert last[:4] == ["acme-losses", "acme-losses", "0.10", "broken"]
    assert " ".join(last[4:]) == ("ZeroDivisionError: division by zero (dmlbench show plugin acme-losses)")
    (row,) = [row for row in json.loads(dmlbench("list", kind, "--json").out) if row["status"] == "broken"]
    assert (row["id"], row["summary"]) == ("acme-losses", "")


@pytest.mark.parametrize("kind", RULE_KINDS)
def test_rules_have_nothing_to_do_with_plugins(distribution, installed, dmlbench, kind):
    installed(distribution("acme-losses", "1 / 0").site)
    done = dmlbench("list", kind)
    assert "acme-losses" not in done.out + done.err


def test_a_plugin_is_listed_with_what_it_offers(dmlbench):
    rows = {row["id"]: row for row in json.loads(dmlbench("list", "plugin", "--json").out)}
    ours = rows["dmlbench:builtin"]
    assert (ours["version"], ours["status"], ours["imports_torch"]) == (__version__, "ok", False)
    samplers = len(json.loads(dmlbench("list", "sampler", "--json").out))
    assert f"sampler ({samplers})" in ours["summary"]


def test_a_name_in_the_switch_that_is_no_plugin_is_told_with_the_nearest(
    distribution, installed, dmlbench, monkeypatch
):
    monkeypatch.setenv("DMLBENCH_PLUGINS", "acme-loses")
    installed(distribution("acme-losses", "1 / 0").site)
    done = dmlbench("list", "loss")
    assert "DMLBENCH_PLUGINS names 'acme-loses', which is no installed plugin; near acme-losses" in done.err
    assert "blocked" in done.out


def test_a_recipe_that_cannot_be_read_costs_only_itself(distribution, installed, dmlbench):
    code = """
    from dmlbench.api import MethodPlugin, hookimpl

    @hookimpl
    def dmlbench_methods():
        yield MethodPlugin(id="absent", target="acme_methods:absent")
        yield MethodPlugin(id="wrong", target="acme_methods:wrong")
        yield MethodPlugin(id="no-toml", target="acme_methods:no_toml")
        yield MethodPlugin(id="raises", target="acme_methods.inner:raises")
    """
    files = {"inner__py": "1 / 0", "wrong__toml": 'id = "wrong"\n', "no_toml__toml": "= 1"}
    installed(distribution("acme-methods", code, **files).site)
    rows = {row["id"]: row for row in json.loads(dmlbench("list", "method", "--json").out)}
    assert rows["dmlbench:das"]["status"] == "ok"
    said = {name: rows[f"acme-methods:{name}"]["detail"] for name in ("absent", "wrong", "no-toml", "raises")}
    assert "method 'acme-methods:absent': no file absent.toml in acme_methods" in said["absent"]
    assert "Field required" in said["wrong"]
    assert "not valid TOML" in said["no-toml"]
    assert "raises.toml cannot be read: ZeroDivisionError: division by zero" in said["raises"]
    assert {rows[f"acme-methods:{name}"]["status"] for name in said} == {"broken"}
