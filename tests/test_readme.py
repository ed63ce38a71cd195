"""What the README shows, works."""

import json
import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_loss_of_the_readme_trains(project, dmlbench):
    (loss,) = (block for block in blocks("python") if "my_loss.py" in block)
    (project / "my_loss.py").write_text(loss, encoding="utf-8")
    done = dmlbench("run", "./my_loss.py:my_loss", "--task", "tiny", "--profile", "smoke", "--json")
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    assert record["outcome"]["status"] == "ok"
    assert record["method"].startswith("local:loss-my-loss@")


def test_commands_and_pages_that_are_named_exist():
    from dmlbench.cli import COMMANDS

    used = set(re.findall(r"^dmlbench (\w+)", README, flags=re.MULTILINE))
    assert used <= set(COMMANDS)
    for page in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / page).exists(), page


def test_make_targets_that_are_named_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
