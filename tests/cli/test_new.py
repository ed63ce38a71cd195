"""`dmlbench new`: what it writes works, and it never writes over anything."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dmlbench.cli.new import BASES, package_name
from dmlbench.cli.packages import render, write_folder
from dmlbench.errors import UsageError

KINDS = [*BASES]


@pytest.fixture
def made(tmp_path, dmlbench):
    """The package `my-KIND`, written into `packages/`."""

    def make(kind):
        done = dmlbench("new", kind, f"my-{kind}", "--to", tmp_path / "packages")
        assert done.status == 0, done.err
        return Path(done.out.strip())

    return make


@pytest.fixture
def pip_installed(made, installed, tmp_path, monkeypatch):
    """The package of a kind, built and installed by pip into a folder that this process then looks in."""

    def install(kind):
        folder, site = made(kind), tmp_path / "site"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        command += ["--no-build-isolation", "--disable-pip-version-check", "--target", site, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        installed(site)
        monkeypatch.setenv("PYTHONPATH", str(site))
        return folder

    return install


def test_the_path_is_data_and_the_next_steps_are_talk(tmp_path, monkeypatch, dmlbench):
    monkeypatch.chdir(tmp_path)
    done = dmlbench("new", "loss", "my-loss")
    assert (done.status, done.out) == (0, "./my-loss\n")
    for command in ("pip install -e ./my-loss", "check loss my-loss", "run my-loss --profile smoke"):
        assert command in done.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_has_all_that_a_repository_needs(made, kind):
    folder = made(kind)
    package = f"my_{kind}"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    component = set() if kind == "method" else {f"{package}/{kind}.py"}
    recipe = set() if kind == "loss" else {f"{package}/recipe.toml"}
    common = {"pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml"}
    assert files == common | component | recipe | {f"{package}/__init__.py", "tests/test_conformance.py"}
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"my-{kind}"
    assert project["entry-points"] == {"dmlbench": {f"my-{kind}": package}}
    readme = (folder / "README.md").read_text()
    assert f"dmlbench check {kind} my-{kind}\ndmlbench run my-{kind} --profile smoke" in readme
    for text in (path.read_text() for path in folder.rglob("*") if path.is_file()):
        assert not {"{%", "%}", "{{ n", "{{ k"} & set(text.split())


def test_the_loss_is_short(made):
    assert len((made("loss") / "my_loss" / "loss.py").read_text().splitlines()) < 40


@pytest.mark.parametrize("name", ["x" * 64, "3-views", "my-very-own-thing"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_name_the_code_is_clean(tmp_path, kind, name):
    write_folder(tmp_path / name, render(kind, name, package_name(name), BASES[kind]))
    ruff = [sys.executable, "-m", "ruff", "--isolated"]
    long = ["E501"] if len(name) > 30 else []
    ignored = ",".join(["F722", "F821", *long])
    commands = [["check", "--select", "E,F,W,I,UP,B,C4,SIM,RUF", "--ignore", ignored, "--line-length", "110"]]
    commands += [] if long else [["format", "--check", "--line-length", "110"]]
    for command in commands:
        done = subprocess.run(
            [*ruff, *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_descriptor_imports_nothing_but_the_api_and_declares_its_version(made, kind):
    tree = ast.parse((made(kind) / f"my_{kind}" / "__init__.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"collections.abc", "dmlbench.api"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert "DMLBENCH_API = 1" in ast.unparse(tree)


@pytest.mark.parametrize(
    "name", ["My-Loss", "my_loss", "my--loss", "my-loss-", "-my", "", "ü", "a/b", "x" * 65]
)
def test_what_cannot_name_a_distribution_is_refused(tmp_path, dmlbench, name):
    done = dmlbench("new", "loss", "--to", tmp_path / "packages", "--", name)
    assert done.status == 2
    assert "is no name for a plugin" in done.err
    assert not (tmp_path / "packages").exists()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("loss", "random", "a Python module 'random' already"),
        ("loss", "class", "a Python module 'class' already"),
        ("loss", "torch", "a Python module 'torch' already"),
        ("loss", "dmlbench-plugins", "a Python module 'dmlbench_plugins' already"),
        ("loss", "contrastive", "dmlbench itself offers a loss 'dmlbench:contrastive'"),
        ("loss", "das", "dmlbench itself offers a method 'dmlbench:das'"),
        ("miner", "semihard", "dmlbench itself offers a miner 'dmlbench:semihard'"),
        ("sampler", "contrastive", "offers a method 'dmlbench:contrastive'"),
    ],
)
def test_a_name_that_means_something_already_is_refused(tmp_path, dmlbench, kind, name, said):
    done = dmlbench("new", kind, name, "--to", tmp_path / "packages")
    assert done.status == 2
    assert said in done.err
    assert f"try another name, e.g. my-{name}" in done.err
    assert not (tmp_path / "packages").exists()


def test_the_name_of_an_installed_plugin_may_be_used_again(tmp_path, distribution, installed, dmlbench):
    installed(distribution("my-loss", "").site)
    assert dmlbench("new", "loss", "my-loss", "--to", tmp_path / "packages").status == 0


@pytest.mark.parametrize("there", ["a folder with a file", "a file", "a link to nowhere"])
def test_nothing_is_overwritten(tmp_path, dmlbench, there):
    target = tmp_path / "my-loss"
    if there == "a file":
        target.write_text("mine")
    elif there == "a link to nowhere":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        (target / ".mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = dmlbench("new", "loss", "my-loss", "--to", tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "nothing is overwritten" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(tmp_path, dmlbench):
    (tmp_path / "my-loss").mkdir()
    assert dmlbench("new", "loss", "my-loss", "--to", tmp_path).status == 0
    assert (tmp_path / "my-loss" / "my_loss" / "loss.py").exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    """The second file cannot be written."""
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "my-loss", {"a": "x", "a/b": "y"})
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_what_is_written(tmp_path):
    """The temporary folder's own rights are its maker's alone."""
    write_folder(tmp_path / "my-loss", {"a": ""})
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "my-loss").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_that_is_unfit_is_told_before_anything_is_looked_up():
    with pytest.raises(UsageError, match="'A' is no name"):
        package_name("A")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_found_passes_its_tests_and_trains(project, pip_installed, dmlbench, kind):
    folder = pip_installed(kind)
    rows = {row["id"]: row for row in json.loads(dmlbench("list", kind, "--json").out)}
    assert rows[f"my-{kind}:my-{kind}"]["status"] == "ok"
    pytest_in = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    tests = subprocess.run(pytest_in, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " passed" in tests.stdout
    run = dmlbench("run", f"my-{kind}", "--task", "tiny", "--profile", "smoke", "--json")
    assert run.status == 0, run.err
    (record,) = json.loads(run.out)
    prefix = "loss-" if kind == "loss" else ""
    assert record["method"] == f"my-{kind}:{prefix}my-{kind}"
    used = {component["id"] for component in record["components"]}
    assert kind == "method" or f"my-{kind}:my-{kind}" in used
