"""`docs/data.md` works: its files are written, its commands issued, in order, beside a folder of pictures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dmlbench.cli import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not executed: [^>]+ -->\n)?```(\w*)\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the page's commands are a shell's")
def test_the_page_works_from_top_to_bottom(tmp_path, class_folders):
    class_folders(tmp_path / "photos", 12, 4)
    (tmp_path / "local" / "tasks").mkdir(parents=True)
    scripts = tmp_path / "bin"
    scripts.mkdir()
    for name, arguments in (("dmlbench", "-m dmlbench"), ("python", "")):
        (scripts / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (scripts / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "DMLBENCH_HOME": str(tmp_path / "home"),
    }
    said = []
    for _, language, text in BLOCKS:
        if name := re.match(r"# (\S+\.\w+)\n", text):
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
        if language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", text]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout)
    folder, listed, arrays, own = said
    assert re.search(r'"id": "photos-[0-9a-f]{8}"', folder)
    assert '"track": "own-conv4-32px-d128-few"' in folder
    assert "no picture is on two sides" in folder
    assert re.search(r"^zero-shot/v1, photos-\w{8}, own-conv4-32px-d128-few, smoke", folder, re.MULTILINE)
    assert re.search(r"^zero-shot/v1, items-\w{8}, own-conv4-32px-d128-few, smoke", listed, re.MULTILINE)
    assert re.match(r"photos-\w{8}: 48 pictures of 32 x 32", arrays)
    assert json.loads(own)["sides"]["train"]["classes"] == 8
    with Image.open(tmp_path / "photos.png") as sheet:
        assert sheet.height > 900


def test_what_is_not_executed_says_why_and_the_rest_is():
    for reason, language, _ in BLOCKS:
        assert bool(reason) == (language == "sh")
        assert language in ("bash", "sh", "python", "toml", "")


def test_every_command_option_and_page_that_is_named_exists(dmlbench):
    assert set(re.findall(r"^dmlbench (\w+)", PAGE, re.MULTILINE)) <= set(COMMANDS)
    known = "".join(
        dmlbench(*words, "--help").out for words in (["data", "prepare"], ["data", "verify"], ["run"])
    )
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= set(re.findall(r"--[a-z][a-z-]+", known))
    for page in re.findall(r"\]\(([^)#]+)[)#]", PAGE):
        assert (DOCS / page).exists(), page


def test_the_table_of_columns_is_that_of_the_reader():
    from dmlbench_plugins.datasets.csv_list import KNOWN

    named = re.findall(
        r"^\| (`.*?) \|", PAGE.partition("### A CSV file")[2].partition("### Arrays")[0], re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", " ".join(named))) == set(KNOWN)


def test_the_numbers_are_those_of_the_program():
    from dmlbench_plugins.datasets.folder import ENDINGS

    from dmlbench.data import own

    assert tuple(map(type(own.TRAIN), ("0.5", "0.1", "0.2", 2))) == (
        own.TRAIN,
        own.VALIDATION,
        own.OF_TRAINING,
        own.LEAST,
    )
    assert f"| {own.FEW_CLASSES} training classes or more |" in PAGE
    assert f"| {own.SMALL_SIDE} pixels or more |" in PAGE
    shown = re.search(r"on white\. (.*?) and (\w+)\n? *files are read", PAGE.replace("\n ", ""), re.DOTALL)
    names = {name.lower() for name in [*shown[1].split(", "), shown[2]]}
    assert names == {ending[1:] for ending in ENDINGS} - {"jpg", "tif"}
    for track in (own.default_track(classes, side) for classes in (1, 99) for side in (1, 99)):
        assert f"`{track}`" in PAGE
