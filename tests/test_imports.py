"""What is slow to import stays out of commands that compute nothing."""

import pytest

COMMAND = """
import sys
from dmlbench.cli import main
try:
    main({arguments!r}.split())
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sorted({{"torch", "numpy"}} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("module", ["dmlbench.api", "dmlbench_plugins", "dmlbench.cli", "dmlbench.results"])
def test_importing_loads_no_torch(python, module):
    done = python(f"import {module}, sys; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert done == (0, "False False\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "--version",
        "run --help",
        "data prepare --help",
        "list loss",
        "list method --json",
        "list task",
        "show method das",
        "show protocol zero-shot/v1",
        "show plugin builtin",
    ],
)
def test_looking_around_loads_neither_torch_nor_numpy(python, arguments):
    done = python(COMMAND.format(arguments=arguments), DMLBENCH_PLUGINS="none")
    assert done.status == 0, done.err
    assert done.err.splitlines()[-1] == ""


def test_checking_a_leaderboard_loads_neither_torch_nor_numpy(python, tmp_path):
    (tmp_path / "leaderboards").mkdir()
    arguments = f"leaderboard check {tmp_path / 'leaderboards'}"
    done = python(COMMAND.format(arguments=arguments), DMLBENCH_PLUGINS="none")
    assert done.status == 0, done.err
    assert done.err.splitlines()[-1] == ""
