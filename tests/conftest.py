"""A task, a track and a protocol of the tests' own: real emoji, so small that a run takes about a second."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

PROTOCOL = """
id = "local/tiny/v1"
status = "draft"
family = "zero-shot"
summary = "Zero-shot retrieval with two metrics and four looks."
form = "self"
metrics = ["recall_at_1", "map_at_r"]
primary = "map_at_r"
ties = "permuted"
tie_seed = 20260101
lone = "excluded"
selection = "validation"
validations = 4
extra_forwards = 1

[profiles]
smoke = { seeds = 1, scores = "validation" }
quick = { seeds = 1, scores = "validation" }
"""

TASK = """
id = "tiny"
summary = "A tenth of the emoji trains."
track = "tiny"
protocol = "local/tiny/v1"
dataset = { component = "dmlbench:emoji" }
split = { rule = "by-group", seed = 0, train = 0.1, validation = 0.05 }
"""

TRACK = """
id = "tiny"
summary = "A very small network on 16 x 16 drawings."
dimension = 16
pretraining = "none"
batch_size = 32
batchnorm = "train"
backbone = { component = "dmlbench:conv4", settings = { width = 8 } }
head = { component = "dmlbench:linear" }
sampler = { component = "dmlbench:pk", settings = { per_class = 3 } }
optimiser = { name = "adamw", rate = 2e-3, weight_decay = 5e-4, schedule = "cosine" }
budget = { smoke = 640, quick = 6400 }

[images]
size = 16
channels = 3
mean = 1.0
std = 0.5

[images.augmentation]
rotation_degrees = 15
scale = [0.8, 1.2]
shift = 0.1
flip = 0
brightness = 0.4
contrast = 0.4
saturation = 1.0
"""


class Result(NamedTuple):
    """What a command left: exit status, data, talk."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As runs have it; equal bits need it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where prepared data lies: made once for all tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def project(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with the tiny task; it is the current one."""
    for name, text in (("tiny/v1", PROTOCOL), ("tasks/tiny", TASK), ("tracks/tiny", TRACK)):
        path = tmp_path / "local" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DMLBENCH_HOME", str(home))
    return tmp_path


@pytest.fixture
def dmlbench() -> Callable[..., Result]:
    """Issue a command inside this process."""

    def issue(*arguments: object) -> Result:
        from dmlbench.cli import main

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as ended:
                status = ended.code
        return Result(status, out.getvalue(), err.getvalue())

    return issue


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Issue a command as a process group of its own; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def issue(*arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dmlbench", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen(command, start_new_session=True, **pipes))
        return started[-1]

    yield issue
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        with process:
            pass


@pytest.fixture
def python() -> Callable[..., Result]:
    """Run a few lines in a fresh interpreter."""

    def run(code: str, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def distribution(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Make an installed distribution that offers plugins; `site` belongs on the path."""

    def make(
        name: str, code: str, *, version: str = "0.1", entry: str = "plugin", **files: str
    ) -> SimpleNamespace:
        site, module = tmp_path / "site", name.replace("-", "_")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[dmlbench]\n{entry} = {module}\n")
        (site / module).mkdir()
        (site / module / "__init__.py").write_text(textwrap.dedent(code))
        for file, text in files.items():
            (site / module / file.replace("__", ".")).write_text(textwrap.dedent(text))
        return SimpleNamespace(site=site, module=module)

    return make


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Put a site folder on this process's path and forget what was discovered before."""
    from dmlbench.registry.registry import registry

    before = set(sys.modules)

    def put(site: Path) -> None:
        monkeypatch.syspath_prepend(site)
        registry.cache_clear()

    yield put
    registry.cache_clear()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def class_folders() -> Callable[..., Path]:
    """Make a folder of class folders: `class_folders(root, classes, each)` writes `root/class N/M.png`."""
    import numpy as np
    from PIL import Image

    def make(
        root: Path,
        classes: int = 10,
        each: int = 3,
        *,
        names: str = "class {}",
        size: tuple[int, int] = (40, 30),
        seed: int = 0,
    ) -> Path:
        draws = np.random.default_rng(seed)
        for number in range(classes):
            folder = root / names.format(number)
            folder.mkdir(parents=True)
            colour = draws.integers(0, 255, (1, 1, 3))
            for n in range(each):
                field = np.clip(colour + draws.integers(-40, 40, (3, 3, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(field).resize(size, Image.Resampling.BICUBIC).save(folder / f"{n}.png")
        return root

    return make
