"""Every check has a reason, an order that can be followed, and a line in the documentation."""

import re
from pathlib import Path

import pytest

import dmlbench.testing.checks  # noqa: F401
from dmlbench.testing.catalogue import CHECKS, promise

DOCS = Path(__file__).parents[2] / "docs" / "plugins" / "checks.md"


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_check_says_why_it_matters_in_one_sentence(check):
    assert re.fullmatch(r"declarations|build|[a-z]+/[a-z0-9-]+", check.id)
    assert check.reason.endswith(".")
    assert ". " not in check.reason
    assert set(check.after) <= CHECKS.keys() - {check.id}


@pytest.mark.parametrize("name", CHECKS)
def test_no_check_waits_for_itself(name):
    seen, todo = set(), list(CHECKS[name].after)
    while todo:
        prior = todo.pop()
        assert prior != name
        if prior not in seen:
            seen.add(prior)
            todo += CHECKS[prior].after


def test_two_checks_cannot_have_one_name():
    with pytest.raises(ValueError, match="two checks"):
        promise("build", {"loss"}, "Why not.")(print)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_documentation_has_each_check_with_its_roles_and_reason(check):
    text = DOCS.read_text(encoding="utf-8")
    line = next((line for line in text.splitlines() if line.startswith(f"| `{check.id}` ")), "")
    assert check.reason in line
    assert re.findall(r"[a-z]+", line.split("|")[2]) == sorted(check.roles)


def test_the_documentation_has_no_check_that_is_not_there():
    documented = re.findall(r"^\| `([^`]+)` ", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert documented == list(CHECKS)
