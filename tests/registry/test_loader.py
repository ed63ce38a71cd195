"""Discovery, over distributions that look installed: folder, metadata, entry points, module."""

import shutil
import sys

import pytest

from dmlbench.registry.registry import Registry, registry

LOSS = """
from dmlbench.api import LossPlugin, hookimpl

@hookimpl
def dmlbench_losses():
    yield LossPlugin(id="proxy-ring", target="{module}.maths:ring", summary="Proxies on a circle.")
"""
GOOD = LOSS.format(module="acme_losses")


def report_of(name):
    return next(report for report in registry().reports if report.distribution == name)


def ids(kind="loss"):
    return [entry.full_id for entry in registry().of_kind(kind)]


def test_the_built_ins_come_through_the_same_door():
    assert report_of("dmlbench").status == "ok"
    assert registry().find("loss", "multi-similarity").distribution == "dmlbench"


def test_a_good_plugin_is_found_without_importing_what_it_offers(distribution, installed):
    made = distribution("acme-losses", GOOD, version="0.3", maths__py="raise RuntimeError('imported')")
    installed(made.site)
    entry = registry().find("loss", "proxy-ring")
    assert (entry.full_id, entry.version, entry.status) == ("acme-losses:proxy-ring", "0.3", "ok")
    assert report_of("acme-losses").status == "ok"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise RuntimeError('out of order\\nsecond line')", "broken", "RuntimeError: out of order"),
        (
            "import nothing_of_that_name",
            "broken",
            "ModuleNotFoundError: No module named 'nothing_of_that_name'",
        ),
        ("len(1)", "broken", "TypeError: object of type 'int' has no len()"),
        ("def broken(:", "broken", "SyntaxError"),
        ("import sys; sys.exit(3)", "broken", "SystemExit: 3"),
        (GOOD.replace("dmlbench_losses", "dmlbench_loses"), "invalid", "nearest: dmlbench_losses"),
        (GOOD.replace("@hookimpl", ""), "invalid", "dmlbench_losses is not marked with @hookimpl"),
        (GOOD + "\ndef dmlbench_minners(): ...\n", "invalid", "nearest: dmlbench_miners"),
        (GOOD.replace("dmlbench_losses()", "dmlbench_losses(config)"), "invalid", "config"),
        (GOOD.replace("yield LossPlugin", "yield dict"), "invalid", "yielded a dict, not a LossPlugin"),
        (
            GOOD.replace("yield LossPlugin", "return LossPlugin"),
            "invalid",
            "returned a LossPlugin; try yield",
        ),
        (
            GOOD.replace("losses():", "miners():"),
            "invalid",
            "yielded a LossPlugin, not a MinerPlugin; try to yield it from dmlbench_losses",
        ),
        (GOOD.replace("@hookimpl", "").replace("dmlbench_", ""), "invalid", "it has no hook"),
        (GOOD.replace("@hookimpl", "").replace("dmlbench_", "bench_"), "invalid", "near bench_losses: dmlb"),
        (GOOD.replace("summary=", "role='lss', summary="), "invalid", "role = 'lss' is not 'loss' or "),
        (GOOD.replace("summary=", "role='lss', summary="), "invalid", "; near loss"),
        (GOOD.replace("summary=", "imports='timm', summary="), "invalid", "imports = 'timm' is not a tuple"),
        (GOOD.replace("summary=", "imports=('a.b',), summary="), "invalid", "'a.b' is no top-level module"),
        (GOOD.replace("summary=", "reads=['a'], summary="), "invalid", "reads = ['a'] is not a dict"),
        (GOOD.replace('"Proxies on a circle."', "3"), "invalid", "summary = 3 is not a str"),
        (GOOD.replace("summary=", "sumary="), "broken", "unexpected keyword argument 'sumary'"),
        ("class Odd(Exception):\n    __str__ = None\nraise Odd\n", "broken", "its message raises"),
        ("DMLBENCH_API = 2\n" + GOOD, "invalid", "version 2 of the plugin API"),
        ("DMLBENCH_API = 0\n" + GOOD, "invalid", "try pip install --upgrade acme-losses"),
        ("DMLBENCH_API = '1'\n" + GOOD, "invalid", "DMLBENCH_API is '1', not a whole number"),
        ("DMLBENCH_API = True\n" + GOOD, "invalid", "DMLBENCH_API is True, not a whole number"),
        (
            "from dmlbench.api import Later\nDMLBENCH_API: int = 2\n" + GOOD,
            "invalid",
            "version 2 of the plugin API; this dmlbench has version 1; try pip install --upgrade dmlbench",
        ),
        ("from dmlbench.api import Later\nDMLBENCH_API = 1\n" + GOOD, "broken", "cannot import name 'Later'"),
        (GOOD.replace("proxy-ring", "Proxy Ring"), "invalid", "id 'Proxy Ring' is not of the form"),
        (GOOD.replace("maths:ring", "maths.ring"), "invalid", "is not 'module:attribute'"),
        (GOOD + "    1 / 0\n", "broken", "ZeroDivisionError"),
        (GOOD + "    import sys; sys.exit()\n", "broken", "SystemExit"),
    ],
)
def test_a_bad_plugin_costs_only_itself(distribution, installed, code, status, said):
    installed(distribution("acme-losses", code).site)
    report = report_of("acme-losses")
    assert report.status == status
    assert said in report.detail
    assert "\n" not in report.detail
    assert "acme-losses:proxy-ring" not in ids()
    assert "dmlbench:contrastive" in ids()


def test_a_broken_plugin_keeps_its_traceback(distribution, installed):
    installed(distribution("acme-losses", "def inner():\n    1 / 0\ninner()").site)
    assert "ZeroDivisionError" in report_of("acme-losses").traceback
    assert "inner" in report_of("acme-losses").traceback


def test_two_of_one_name_in_two_distributions_are_told_apart_by_their_full_ids(
    distribution, installed, dmlbench
):
    distribution("acme-losses", GOOD)
    installed(distribution("ring-losses", LOSS.format(module="ring_losses")).site)
    assert registry().find("loss", "acme-losses:proxy-ring").full_id == "acme-losses:proxy-ring"
    assert registry().find("loss", "proxy-ring", home="ring-losses").full_id == "ring-losses:proxy-ring"
    for entry in registry().of_kind("loss"):
        if entry.plugin.id == "proxy-ring":
            assert entry.status == "conflict"
            assert entry.detail == (
                "'proxy-ring' is offered by acme-losses and ring-losses; "
                "say acme-losses:proxy-ring or ring-losses:proxy-ring"
            )
    assert report_of("acme-losses").status == "conflict"
    done = dmlbench("run", "proxy-ring")
    assert done.status == 2
    assert "'proxy-ring' is offered by several distributions" in done.err
    assert "acme-losses:proxy-ring or ring-losses:proxy-ring" in done.err


def test_two_of_one_full_id_are_both_refused(distribution, installed, dmlbench):
    hook = GOOD.partition("@hookimpl")[2].replace("maths:ring", "maths:other")
    twice = GOOD + "".join(line for line in hook.splitlines(keepends=True) if "yield" in line)
    installed(distribution("acme-losses", twice).site)
    assert [entry.status for entry in registry().of_kind("loss") if entry.plugin.id == "proxy-ring"] == [
        "conflict",
        "conflict",
    ]
    done = dmlbench("run", "proxy-ring")
    assert done.status == 2
    assert "acme-losses:proxy-ring is offered 2 times by acme-losses 0.1 (plugin)" in done.err
    assert report_of("acme-losses").status == "conflict"


def test_two_entry_points_of_one_distribution_that_offer_one_id_are_both_named(
    distribution, installed, dmlbench
):
    made = distribution("acme-losses", GOOD, more__py=GOOD)
    points = made.site / "acme_losses-0.1.dist-info" / "entry_points.txt"
    points.write_text("[dmlbench]\nplugin = acme_losses\nmore = acme_losses.more\n")
    installed(made.site)
    done = dmlbench("show", "loss", "acme-losses:proxy-ring")
    assert done.status == 2
    both = "acme-losses 0.1 (more) and acme-losses 0.1 (plugin)"
    assert f"is conflict: acme-losses:proxy-ring is offered by {both}" in done.err


def test_names_that_are_one_in_their_one_spelling_are_one_namespace(distribution, installed):
    made = distribution("acme-losses", GOOD)
    other = distribution("acme-losses2", GOOD.replace("acme_losses", "acme_losses2"), version="2")
    info = other.site / "acme_losses2-2.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme.Losses\nVersion: 2\n")
    installed(made.site)
    found = [entry for entry in registry().of_kind("loss") if entry.plugin.id == "proxy-ring"]
    assert [entry.status for entry in found] == ["conflict"] * 2
    assert "by acme-losses 0.1 (plugin) and acme-losses 2 (plugin)" in found[0].detail


def test_a_stranger_who_takes_one_of_our_ids_does_not_take_our_component(distribution, installed, dmlbench):
    installed(distribution("acme-losses", GOOD.replace("proxy-ring", "triplet")).site)
    assert registry().find("loss", "triplet", home="dmlbench").full_id == "dmlbench:triplet"
    assert dmlbench("show", "loss", "dmlbench:triplet").status == 0
    assert registry().find("method", "contrastive").status == "ok"


def test_of_one_distribution_in_two_folders_the_first_on_the_path_counts(distribution, installed, tmp_path):
    made = distribution("acme-losses", GOOD)
    old = tmp_path / "old"
    shutil.copytree(made.site, old)
    points = old / "acme_losses-0.1.dist-info" / "entry_points.txt"
    points.write_text("[dmlbench]\nformer = acme_losses.former\n")
    installed(old)
    installed(made.site)
    assert [r.name for r in registry().reports if r.distribution == "acme-losses"] == ["plugin"]
    assert registry().find("loss", "proxy-ring").status == "ok"


def test_the_switch_keeps_strangers_out_and_the_built_ins_in(distribution, installed, monkeypatch):
    monkeypatch.setenv("DMLBENCH_PLUGINS", "none")
    installed(distribution("acme-losses", "raise RuntimeError('imported')").site)
    assert (report_of("acme-losses").status, report_of("dmlbench").status) == ("blocked", "ok")
    assert "DMLBENCH_PLUGINS=none" in report_of("acme-losses").detail


@pytest.mark.parametrize(
    "switch", ["acme-losses", "Acme_Losses", "plugin", "acme-losses:plugin", "other, acme-losses"]
)
def test_the_switch_lets_in_whom_it_names(distribution, installed, monkeypatch, switch):
    monkeypatch.setenv("DMLBENCH_PLUGINS", switch)
    installed(distribution("acme-losses", GOOD).site)
    assert report_of("acme-losses").status == "ok"


def test_a_distribution_that_lost_its_metadata_stops_nobody(distribution, installed):
    made = distribution("acme-losses", GOOD)
    (made.site / "acme_losses-0.1.dist-info" / "METADATA").unlink()
    installed(made.site)
    assert "dmlbench:contrastive" in ids()


def test_a_name_is_written_one_way_however_its_distribution_spells_it(distribution, installed):
    made = distribution("acme-losses", GOOD)
    metadata = made.site / "acme_losses-0.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("acme-losses", "Acme__Losses"))
    installed(made.site)
    assert "acme-losses:proxy-ring" in ids()


def test_torch_imported_at_discovery_is_reported(distribution, python):
    made = distribution("acme-losses", "import torch\n" + GOOD)
    done = python("from dmlbench.cli import main; main(['list', 'loss'])", PYTHONPATH=str(made.site))
    assert done.status == 0
    assert "acme-losses (plugin) imports torch at discovery" in done.err


def test_what_a_plugin_prints_at_import_is_no_data(distribution, installed, dmlbench):
    installed(distribution("acme-losses", "print('hello')\n" + GOOD).site)
    done = dmlbench("list", "loss", "--json")
    assert "hello" not in done.out
    assert "hello" in done.err


def test_a_plugin_of_this_api_version_says_so(distribution, installed):
    installed(distribution("acme-losses", "DMLBENCH_API = 1\n" + GOOD).site)
    assert report_of("acme-losses").status == "ok"


def test_a_hook_may_go_by_another_name_in_its_module(distribution, installed):
    code = GOOD.replace("@hookimpl", "@hookimpl(specname='dmlbench_losses')").replace(
        "def dmlbench_", "def my_"
    )
    installed(distribution("acme-losses", code).site)
    assert "acme-losses:proxy-ring" in ids()


def test_an_entry_point_may_name_an_object(distribution, installed):
    made = distribution("acme-losses", GOOD.replace("def dmlbench_losses()", "def dmlbench_losses(self)"))
    module = made.site / "acme_losses" / "__init__.py"
    head, hook = module.read_text().split("@hookimpl")
    body = "\n    ".join(("@hookimpl" + hook).splitlines())
    module.write_text(f"DMLBENCH_API = 1\n{head}\nclass Offer:\n    {body}\n\noffer = Offer()\n")
    points = made.site / "acme_losses-0.1.dist-info" / "entry_points.txt"
    points.write_text("[dmlbench]\nplugin = acme_losses:offer\n")
    installed(made.site)
    assert (report_of("acme-losses").detail, report_of("acme-losses").status) == ("", "ok")
    assert "acme-losses:proxy-ring" in ids()
    module.write_text(module.read_text().replace("DMLBENCH_API = 1", "DMLBENCH_API = 3"))
    del sys.modules["acme_losses"]
    registry.cache_clear()
    assert report_of("acme-losses").status == "invalid"


def test_a_lazy_module_stays_lazy(distribution, installed):
    lazy = "__all__ = ['big']\ndef __dir__(): return ['big', 'dmlbench_losses']\n"
    lazy += "def __getattr__(name): raise RuntimeError(name) if name == 'big' else AttributeError(name)\n"
    installed(distribution("acme-losses", GOOD + lazy).site)
    assert (report_of("acme-losses").detail, report_of("acme-losses").status) == ("", "ok")


def test_a_component_whose_extra_is_missing_is_unavailable_and_names_it(distribution, installed, dmlbench):
    code = GOOD.replace("summary=", "extra='rings', imports=('json', 'nothing_of_that_name'), summary=")
    more = GOOD.partition("@hookimpl")[2].split("yield")[1].replace("proxy-ring", "plain")
    installed(distribution("acme-losses", f"{code}    yield{more}").site)
    rows = {entry.plugin.id: entry for entry in registry().of_kind("loss")}
    assert (rows["proxy-ring"].status, rows["plain"].status) == ("unavailable", "ok")
    assert rows["proxy-ring"].detail == 'needs nothing_of_that_name: pip install "acme-losses[rings]"'
    assert report_of("acme-losses").status == "ok"
    done = dmlbench("run", "proxy-ring")
    assert done.status == 2
    assert "needs nothing_of_that_name, which is not installed" in done.err
    assert 'try pip install "acme-losses[rings]"' in done.err


def test_a_plugin_that_offers_nothing_without_its_extra_is_no_fault(distribution, installed):
    code = GOOD.replace("summary=", "extra='rings', imports=('nothing_of_that_name',), summary=")
    installed(distribution("acme-losses", code).site)
    assert report_of("acme-losses").status == "unavailable"
    Registry([report_of("acme-losses")], []).refuse_faults()


def test_an_unreadable_list_of_entry_points_costs_only_itself(distribution, installed):
    made = distribution("acme-losses", GOOD)
    (made.site / "acme_losses-0.1.dist-info" / "entry_points.txt").write_text("[dmlbench]\nplugin\n")
    stranger = distribution("acme-tools", "")
    (stranger.site / "acme_tools-0.1.dist-info" / "entry_points.txt").write_text("[other]\nplugin\n")
    installed(made.site)
    assert report_of("acme-losses").status == "invalid"
    assert "entry_points.txt cannot be read" in report_of("acme-losses").detail
    assert "acme-tools" not in {report.distribution for report in registry().reports}
    assert "dmlbench:contrastive" in ids()


@pytest.mark.parametrize(("name", "said"), [("local", "stands for files"), ("a" * 65, "is not of the form")])
def test_a_distribution_whose_name_cannot_be_a_namespace_is_refused(distribution, installed, name, said):
    installed(distribution(name, GOOD.replace("acme_losses", name)).site)
    assert report_of(name).status == "invalid"
    assert said in report_of(name).detail


def test_an_empty_switch_is_no_switch(distribution, installed, monkeypatch):
    monkeypatch.setenv("DMLBENCH_PLUGINS", "")
    installed(distribution("acme-losses", GOOD).site)
    assert report_of("acme-losses").status == "ok"


def test_a_faulty_plugin_has_no_traceback_without_code_of_its_own(distribution, installed):
    installed(distribution("acme-losses", GOOD.replace("dmlbench_losses", "dmlbench_loses")).site)
    assert report_of("acme-losses").traceback == ""
