"""Statuses, declared failures, and what pytest is told."""

from dataclasses import replace

import pytest

from dmlbench.testing import CheckFailed, NotApplicable, cases, check
from dmlbench.testing.report import check_entry, checks_of, unavailable


def results(report):
    return {result.id: result for result in report.results}


def test_the_public_list_is_pinned():
    import dmlbench.testing

    assert dmlbench.testing.__all__ == [
        "Case",
        "CheckFailed",
        "NotApplicable",
        "Report",
        "Result",
        "cases",
        "check",
        "checks",
    ]


def test_a_report_counts_what_ran_and_what_did_not():
    report = check("sampler", "pk")
    assert (report.kind, report.name, report.failed) == ("sampler", "dmlbench:pk", False)
    assert report.counts == {"run": 15, "ok": 15, "failed": 0, "skipped": 1, "expected": 0}
    assert results(report)["train/parameters"].detail == "has no trainable parameters"
    assert report.to_json()["counts"] == report.counts


def test_what_depends_on_a_failed_check_is_skipped_and_says_so(entry_of):
    found = results(check_entry(entry_of("loss", "broken/losses:not_a_number")))
    assert found["values/finite"].status == "failed"
    assert found["train/runs"].detail == "means nothing while values/finite fails"
    assert found["state/resume"].detail.startswith("means nothing while")


def test_a_declared_failure_is_expected_with_its_reason(entry_of):
    declared = {"build": "nobody has fixed the spelling"}
    report = check_entry(entry_of("loss", "broken/losses:unknown_name", expected_failures=declared))
    assert not report.failed
    assert (report.counts["run"], report.counts["expected"]) == (2, 1)
    assert results(report)["build"].detail == "nobody has fixed the spelling"


def test_a_declared_failure_that_passes_is_a_failure(entry_of):
    declared = {"build": "it used to be wrong"}
    found = results(check_entry(entry_of("dataset", "broken/datasets:Blank", expected_failures={})))
    assert found["dataset/pictures"].status == "failed"
    report = check_entry(entry_of("loss", "broken/losses:not_a_number", expected_failures=declared))
    assert results(report)["build"].status == "failed"
    assert "it used to be wrong" in results(report)["build"].detail


@pytest.mark.parametrize(
    ("declared", "words"),
    [({"order/row": "why"}, "near order/rows"), ({"order/rows": " "}, "without a reason")],
)
def test_a_declaration_names_a_check_and_gives_a_reason(entry_of, declared, words):
    entry = entry_of("loss", "broken/losses:not_a_number", expected_failures=declared)
    found = results(check_entry(entry))["declarations"]
    assert (found.status, words in found.detail) == ("failed", True)


def case(entry, name):
    return next(case for case in checks_of(entry) if case.id == name)


def test_a_case_runs_once_and_answers_the_same(entry_of):
    failing = case(entry_of("loss", "broken/losses:not_a_number"), "values/finite")
    with pytest.raises(CheckFailed) as first:
        failing.run()
    with pytest.raises(CheckFailed) as second:
        failing.run()
    assert first.value is second.value
    assert (str(failing), failing.reason.endswith(".")) == ("values/finite", True)


def test_pytest_sees_a_failure_a_skip_and_an_expected_failure(entry_of):
    with pytest.raises(CheckFailed):
        case(entry_of("loss", "broken/losses:not_a_number"), "values/finite")()
    needs = entry_of("loss", "sound/parts:NeedsMargin")
    with pytest.raises(pytest.skip.Exception, match="margin"):
        case(needs, "build")()
    with pytest.raises(NotApplicable):
        case(needs, "build").run()
    declared = {"values/finite": "logarithms"}
    entry = entry_of("loss", "broken/losses:not_a_number", expected_failures=declared)
    with pytest.raises(pytest.xfail.Exception, match="logarithms"):
        case(entry, "values/finite")()


def test_pytest_sees_a_declared_failure_that_passes(entry_of):
    entry = entry_of("loss", "broken/losses:not_a_number", expected_failures={"build": "old"})
    with pytest.raises(CheckFailed, match="take the declaration out"):
        case(entry, "build")()


def test_the_cases_of_an_installed_component_are_found_by_name():
    assert [str(case) for case in cases("dataset", "emoji")] == [
        "declarations",
        "dataset/items",
        "dataset/repeatable",
        "dataset/pictures",
    ]


def test_what_is_not_installed_is_one_skipped_line(entry_of):
    entry = replace(
        entry_of("loss", "broken/losses:unseeded"), status="unavailable", detail="needs\nthe extra"
    )
    report = unavailable(entry)
    assert report.counts == {"run": 0, "ok": 0, "failed": 0, "skipped": 1, "expected": 0}
    assert report.results[0].detail == "unavailable: needs the extra"


def test_leaving_the_process_is_a_failure_and_not_the_end(entry_of, tmp_path):
    path = tmp_path / "leaves.py"
    path.write_text("import sys\ndef leave(embeddings):\n    sys.exit(3)\n")
    path_late = tmp_path / "late.py"
    path_late.write_text(
        "import os\nfrom multiprocessing import parent_process\n"
        "def leave(embeddings):\n"
        "    if parent_process():\n        os._exit(7)\n"
        "    return embeddings.pow(4).sum()\n"
    )
    entry = entry_of("loss", "broken/losses:leave")
    found = results(check_entry(replace(entry, path=path)))
    assert found["values/finite"].detail.startswith("raises SystemExit: 3")
    found = results(check_entry(replace(entry, path=path_late)))
    assert found["train/runs"].detail == "at step 0: its process ended with exit status 7"
