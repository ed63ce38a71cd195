"""`docs/your-first-loss.md` works: its commands are issued, in order, from an empty folder."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from dmlbench.cli import COMMANDS
from dmlbench.cli.new import BASES
from dmlbench.cli.packages import render

PAGE = (Path(__file__).parents[2] / "docs" / "your-first-loss.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not executed: [^>]+ -->\n)?```(\w*)\n(.*?)```", PAGE, flags=re.DOTALL)


def blocks(language):
    return [text for _, found, text in BLOCKS if found == language]


@pytest.fixture
def environment(tmp_path, home):
    """A virtual environment that sees this one's packages; pip in it needs no network."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    seen = sysconfig.get_paths()["purelib"]
    # Not a bare path: the editable install of dmlbench is itself a .pth file in there.
    (Path(paths["purelib"]) / "seen.pth").write_text(f"import site; site.addsitedir({seen!r})\n")
    scripts, python = Path(paths["scripts"]), Path(paths["scripts"]) / "python"
    for name, options in (("dmlbench", ""), ("pip", "--no-deps --no-index --no-build-isolation")):
        script = scripts / name
        script.write_text(f'#!/bin/sh\nexec "{python}" -m {name} "$@" {options}\n')
        script.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "DMLBENCH_HOME": str(home),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the page's commands are a shell's")
def test_the_page_leads_from_an_empty_folder_to_a_table(tmp_path, environment):
    place = tmp_path / "empty"
    place.mkdir()
    said = {}
    for _, language, text in BLOCKS:
        if language == "diff":
            edit(place / "my-loss" / "my_loss" / "loss.py", text)
        if language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", text]
            done = subprocess.run(
                command, cwd=place, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            said[text.split()[1]] = done.stdout
    assert re.search(r"^my-loss:my-loss +my-loss +0\.1\.0 +ok ", said["new"], flags=re.MULTILINE)
    assert re.search(r"^my-loss:loss-my-loss +1 +0\.\d{4} ", said["run"], flags=re.MULTILINE)
    first, _, *_, verdict = said["compare"].splitlines()
    assert first.split() == block_with("verdict").splitlines()[0].split()
    shown = block_with("verdict").splitlines()[-1].partition(" (")[0]
    assert verdict.startswith(shown)
    (table,) = place.glob("leaderboards/preview/zero-shot/v1/emoji/*/table.md")
    for method in ("my-loss:loss-my-loss", "dmlbench:contrastive"):
        assert method in table.read_text(encoding="utf-8")


def edit(file, diff):
    """Replace the lines with a minus by those with a plus."""
    before, after = (
        "".join(line[1:] + "\n" for line in diff.splitlines() if line[0] == sign) for sign in "-+"
    )
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")


def block_with(word):
    (found,) = [text for text in blocks("") if word in text]
    return found


def test_the_loss_that_is_shown_is_the_one_that_is_written():
    (shown,) = blocks("python")
    assert shown == render("loss", "my-loss", "my_loss", BASES["loss"])["my_loss/loss.py"]


def test_the_files_that_are_listed_are_those_that_are_written():
    listed = set(re.findall(r"── (\S+)", block_with("pyproject.toml")))
    assert listed == set(render("loss", "my-loss", "my_loss", BASES["loss"])) - {".gitignore"}


def test_what_is_not_executed_says_why_and_the_rest_is():
    for reason, language, _ in BLOCKS:
        assert bool(reason) == (language == "sh")
        assert language in ("bash", "sh", "python", "diff", "")


def test_every_command_and_page_that_is_named_exists():
    assert set(re.findall(r"^dmlbench (\w+)", "".join(blocks("bash") + blocks("sh")), re.MULTILINE)) <= set(
        COMMANDS
    )
    for page in re.findall(r"\]\(([^)#]+)[)#]", PAGE):
        assert (Path(__file__).parents[2] / "docs" / page).exists(), page
