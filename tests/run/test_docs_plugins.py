"""The examples of `docs/plugins/` run: each page's files make a package, each recipe in it trains."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from dmlbench.registry.descriptors import KINDS
from dmlbench.registry.registry import load_target, registry
from dmlbench.spec.method import Method, Term

DOCS = Path(__file__).parents[2] / "docs" / "plugins"
PAGES = ("kinds", "events")


def files_of(page):
    """Text by path of the code blocks whose first line is their path."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python|toml)\n# (\S+/\S+\.(?:py|toml))\n(.*?)```", text, flags=re.DOTALL)
    return dict(blocks)


def recipes_of(page):
    tables = [tomllib.loads(text) for path, text in files_of(page).items() if path.endswith(".toml")]
    return [table["id"] for table in tables if "fidelity" in table]


@pytest.fixture
def acme(project, distribution, installed):
    """Install a page's package `acme`, and put its local files where the command is issued."""

    def install(page):
        files = files_of(page)
        own = {path.removeprefix("acme/"): text for path, text in files.items() if path.startswith("acme/")}
        code = own.pop("__init__.py")
        installed(distribution("acme", code, **{name.replace(".", "__"): own[name] for name in own}).site)
        for path in files.keys() - {f"acme/{name}" for name in own} - {"acme/__init__.py"}:
            assert path.startswith("local/")
            (project / path).write_text(files[path])

    return install


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_offered_and_can_be_imported(acme, page):
    acme(page)
    offered = [entry for entry in registry().entries if entry.distribution == "acme"]
    assert len(offered) > 2
    for entry in offered:
        assert entry.status == "ok"
        if entry.plugin.kind != "method":
            assert callable(load_target(entry))
    if page == "kinds":
        assert {type(entry.plugin) for entry in offered} == set(KINDS.values())
    methods = [entry.plugin.id for entry in offered if entry.plugin.kind == "method"]
    assert sorted(methods) == sorted(recipes_of(page))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "name"), [(page, name) for page in PAGES for name in recipes_of(page)])
def test_every_recipe_trains(acme, dmlbench, page, name):
    acme(page)
    done = dmlbench("run", f"acme:{name}", "--task", "tiny", "--profile", "smoke", "--json")
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    assert record["method"] == f"acme:{name}"
    assert any(used["id"].startswith("acme:") for used in record["components"])


@pytest.mark.slow
def test_the_data_set_trains(acme, dmlbench):
    acme("kinds")
    rules = ("--protocol", "local/tiny/v1", "--track", "tiny", "--profile", "smoke")
    done = dmlbench("run", "acme:nca", "untrained", "--task", "polygons", *rules, "--json")
    assert done.status == 0, done.err
    trained, untrained = (record["metrics"]["map_at_r"] for record in json.loads(done.out))
    assert 0 < untrained < trained < 1


def keys_in(heading):
    """The keys in the first column of the table whose header's first cell is `heading`."""
    text = (DOCS / "kinds.md").read_text(encoding="utf-8")
    table = text.partition(f"| {heading} | what it says |\n")[2].partition("\n\n")[0]
    return {key for line in table.splitlines() for key in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_key_of_a_recipe_and_of_a_term_is_documented_and_no_other():
    assert keys_in("key of a term") == set(Term.model_fields)
    assert keys_in("key") == set(Method.model_fields)
