import json
from dataclasses import replace

import pytest

from dmlbench.registry.registry import registry


def test_each_check_has_a_line_and_the_counts_come_last(dmlbench):
    done = dmlbench("check", "sampler", "pk")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split() == ["ok", "declarations"]
    assert "skipped           train/parameters           has no trainable parameters" in lines
    assert lines[-1] == "15 run, 1 skipped, 0 expected failures"


def test_a_failure_is_one_line_and_exit_status_1(project, dmlbench):
    (project / "sizes.py").write_text("def size(embeddings):\n    return embeddings.abs().log().mean(1)\n")
    done = dmlbench("check", "loss", "./sizes.py:size")
    assert done.status == 1
    (failed,) = [line for line in done.out.splitlines() if line.startswith("FAILED")]
    assert "values/finite" in failed
    assert "returned a tensor of float32 of shape (16,)" in failed
    assert ", 1 failed, " in done.out.splitlines()[-1]


def test_json_is_a_list_of_reports(dmlbench):
    done = dmlbench("check", "augmenter", "--all", "--json")
    assert done.status == 0, done.err
    reports = json.loads(done.out)
    names = [e.full_id for e in registry().of_kind("augmenter") if e.distribution == "dmlbench"]
    assert [(report["kind"], report["name"]) for report in reports] == [("augmenter", name) for name in names]
    for report in reports:
        assert list(report) == ["kind", "name", "counts", "seconds", "checks"]
        assert report["counts"]["run"] > 15
        assert {"id": "build", "status": "ok", "detail": ""} in report["checks"]
    assert done.err.splitlines()[0] == f"1 of {len(names)}: augmenter {names[0]}"


def test_all_of_a_kind_has_a_line_a_component_and_expected_failures_below_it(dmlbench):
    done = dmlbench("check", "dataset", "--all")
    assert done.status == 0, done.err
    *lines, last = done.out.splitlines()
    ours = [e.full_id for e in registry().of_kind("dataset") if e.distribution == "dmlbench"]
    assert len(ours) > 2
    assert [line.split()[2] for line in lines if line.startswith(("ok", "skipped"))] == ours
    assert last.startswith(f"{len(ours)} components: ")


def test_settings_can_be_given(dmlbench):
    done = dmlbench("check", "sampler", "pk", "--set", "per_class=2", "--json")
    assert done.status == 0, done.err
    wrong = dmlbench("check", "sampler", "pk", "--set", "per_klass=2")
    assert wrong.status == 1
    assert "FAILED            build" in wrong.out
    assert "near per_class" in wrong.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["loss", "contrastiv"], "near contrastive"),
        ([], "nothing to check"),
        (["loss"], "nothing to check"),
        (["loss", "contrastive", "--all"], "--all takes neither"),
        (["loss", "contrastive", "--set", "margin"], "SETTING=VALUE"),
    ],
)
def test_wrong_usage_is_exit_status_2(dmlbench, arguments, words):
    done = dmlbench("check", *arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err


def test_what_is_not_installed_is_told_and_is_no_failure(dmlbench, monkeypatch):
    missing = replace(
        registry().find("sampler", "pk"), status="unavailable", detail="needs torch: pip install"
    )
    monkeypatch.setattr(registry(), "entries", [missing])
    done = dmlbench("check", "sampler", "--all")
    assert done.status == 0
    assert done.out.splitlines()[0].startswith("skipped  sampler   dmlbench:pk")
    assert done.out.splitlines()[0].endswith("unavailable: needs torch: pip install")
