"""`docs/plugins/hooks.md` and `stability.md` say what the code says."""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

import dmlbench.api
import dmlbench.testing
from dmlbench.registry import hookspecs
from dmlbench.registry.descriptors import KINDS, Plugin
from dmlbench.registry.report import Status

DOCS = Path(__file__).parents[2] / "docs" / "plugins"
HOOKS = (DOCS / "hooks.md").read_text(encoding="utf-8")
STABILITY = (DOCS / "stability.md").read_text(encoding="utf-8")


def rows(page, columns):
    """The table rows of that many columns, header and rule left out."""
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return [row for row in cells if len(row) == columns]


def documented_fields(kind=None):
    if kind is None:
        return {field.strip("`") for field, _ in rows(HOOKS, 2) if field.strip("`").isidentifier()}
    return {field.strip("`") for owner, field, _ in rows(HOOKS, 3) if owner == f"`{kind.__name__}`"}


@pytest.mark.parametrize("name", KINDS)
def test_every_hook_is_documented_with_its_signature_and_what_it_says_of_itself(name):
    hook = getattr(hookspecs, name)
    assert not inspect.signature(hook).parameters
    answers = hook.__annotations__["return"]
    assert f"| `{name}() -> {answers}` | {hook.__doc__} |" in HOOKS


def test_no_other_hook_is_documented():
    assert set(re.findall(r"`(dmlbench_\w+)\(", HOOKS)) == set(KINDS)
    assert {name for name in vars(hookspecs) if name.startswith("dmlbench_")} == set(KINDS)


def test_the_fields_of_every_descriptor_are_documented_and_no_others():
    common = {field.name for field in dataclasses.fields(Plugin)}
    assert documented_fields() - set(get_args(Status)) == common
    for kind in KINDS.values():
        assert documented_fields(kind) == {field.name for field in dataclasses.fields(kind)} - common


def test_the_values_that_a_field_may_have_are_documented():
    for kind in KINDS.values():
        for field in dataclasses.fields(kind):
            for value in re.findall(r"'(\w+)'|\"(\w+)\"", str(field.type)):
                assert f"`{''.join(value)}`" in HOOKS, (kind, field.name, value)


def test_every_status_is_documented_and_no_other():
    found = {status.strip("`") for status, _ in rows(HOOKS.partition("## What becomes")[2], 2)}
    assert found == set(get_args(Status))


def test_the_promised_names_are_those_that_there_are():
    listed = STABILITY.partition("## What the API is")[2].partition("\n## ")[0]
    for module in (dmlbench.api, dmlbench.testing):
        names = listed.partition(f"`{module.__name__}.__all__`")[2].partition("\n- ")[0].partition(": ")[2]
        assert re.findall(r"`(\w+)`", names) == sorted(module.__all__)


def test_the_version_of_the_api_is_the_one_that_is_stated():
    assert f"`{dmlbench.api.API_VERSION}`" in STABILITY
    for page in (HOOKS, STABILITY):
        assert f"DMLBENCH_API = {dmlbench.api.API_VERSION[0]}" in page


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_pages_and_sections_that_are_linked_exist(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, section = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if section:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert section in [head.lower().replace(" ", "-").replace("`", "") for head in heads], link
