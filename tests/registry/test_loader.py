"""Discovery, over distributions that look installed: folder, metadata, entry points, module."""

import pytest

from dmlbench.registry.registry import registry

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
        (GOOD.replace("dmlbench_losses()", "dmlbench_losses(config)"), "invalid", "config"),
        (GOOD.replace("yield LossPlugin", "yield dict"), "invalid", "yielded a dict, not a LossPlugin"),
        (GOOD.replace("losses():", "miners():"), "invalid", "yielded a LossPlugin, not a MinerPlugin"),
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
    assert registry().find("loss", "acme-losses:proxy-ring").status == "ok"
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
    assert "acme-losses:proxy-ring is offered 2 times" in done.err


def test_the_switch_keeps_strangers_out_and_the_built_ins_in(distribution, installed, monkeypatch):
    monkeypatch.setenv("DMLBENCH_PLUGINS", "none")
    installed(distribution("acme-losses", "raise RuntimeError('imported')").site)
    assert (report_of("acme-losses").status, report_of("dmlbench").status) == ("blocked", "ok")
    assert "DMLBENCH_PLUGINS=none" in report_of("acme-losses").detail


@pytest.mark.parametrize("switch", ["acme-losses", "plugin", "other, acme-losses"])
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
