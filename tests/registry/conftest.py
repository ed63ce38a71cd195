import os
import subprocess
import sys

import pytest

from .wheels import CODE, write_wheel


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """The environment variables of a place where all distributions of `CODE` are pip-installed together."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [write_wheel(folder, name, code) for name, code in CODE.items()]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    site = folder / "site"
    subprocess.run([*pip, "--no-index", "--no-deps", "--target", site, *wheels], check=True)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
