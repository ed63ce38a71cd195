"""Several processes read as one does: the same order, bytes and errors, and nothing is left behind."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from dmlbench_plugins.datasets.folder import Folder

from dmlbench.data import decoding
from dmlbench.data.decoding import Workers, decode
from dmlbench.data.pictures import UnreadablePicture
from dmlbench.data.prepare import prepare
from dmlbench.errors import ContractError, DataError

pytestmark = pytest.mark.slow


@pytest.fixture
def at_once(monkeypatch) -> None:
    """Start others after the first picture, with three pictures a turn."""
    monkeypatch.setattr(decoding, "TRIAL_SECONDS", 0)
    monkeypatch.setattr(decoding, "WORTH_SECONDS", 0)
    monkeypatch.setattr(decoding, "_MOST_IN_CHUNK", 3)


@pytest.fixture
def root(tmp_path, class_folders) -> Path:
    return class_folders(tmp_path / "pictures", 12, 4)


def opened(root: Path, make=Folder):
    dataset = make()
    return dataset, dataset.items(root)


@pytest.mark.usefixtures("at_once")
def test_the_order_and_the_bytes_are_those_of_one_process(root):
    dataset, items = opened(root)
    (root / "class 3" / "2.png").write_bytes(b"")
    (root / "class 7" / "0.png").write_bytes(b"no picture")
    alone = list(decode(dataset, items, 16, 3))
    together = list(decode(dataset, items, 16, 3, Workers(3, Folder, root)))
    assert [type(found) for found in together] == [type(found) for found in alone]
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, UnreadablePicture):
            assert str(one) == str(other)
        else:
            assert one == other
    assert sum(isinstance(found, UnreadablePicture) for found in together) == 2


@pytest.mark.usefixtures("at_once")
def test_the_store_is_the_same_and_progress_counts_every_picture(task, images, root, tmp_path):
    calls = []
    files = []
    for name, workers in (("one", None), ("several", Workers(2, Folder, root))):
        store = prepare(
            task,
            images,
            Folder(),
            root,
            tmp_path / name,
            workers=workers,
            progress=lambda *at: calls.append(at),
        )
        files.append({path.name: path.read_bytes() for path in store.folder.iterdir()})
    assert files[0] == files[1]
    assert calls == [(done, 48) for done in range(1, 49)] * 2


@pytest.mark.usefixtures("at_once")
def test_an_unreadable_picture_ends_it_with_the_same_words_and_leaves_nothing(task, images, root, tmp_path):
    (root / "class 3" / "2.png").write_bytes(b"")
    said = []
    for name, how in (("one", None), ("several", Workers(2, Folder, root))):
        with pytest.raises(DataError) as caught:
            prepare(task, images, Folder(), root, tmp_path / name, workers=how)
        said.append(str(caught.value))
        assert [path.name for path in (tmp_path / name / task.id).iterdir()] == [".lock"]
    assert said[0] == said[1]
    assert workers(psutil.Process()) == []


def test_few_pictures_start_no_process(root, monkeypatch):
    monkeypatch.setattr(
        decoding, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("a process was started")
    )
    dataset, items = opened(root)
    assert len(list(decode(dataset, items, 16, 3, Workers(8, Folder, root)))) == 48


READER = """
import os
from dmlbench.api import Item
from dmlbench_plugins.datasets.folder import Folder

PARENT = int(os.environ["READER_PARENT"])

class Reader(Folder):
    def __init__(self, *, fault):
        super().__init__()
        self.fault = fault

    def picture(self, item, size):
        if item.path == "class 5/1.png" and os.getpid() != PARENT:
            if self.fault == "dies":
                os._exit(3)
            if self.fault == "contract":
                size += 1
        print("talk")
        return super().picture(item, size)
"""


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A data set of a module that other processes can import."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "reader_with_faults.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), *sys.path]))
    monkeypatch.setenv("READER_PARENT", str(os.getpid()))
    yield lambda fault: functools.partial(importlib.import_module("reader_with_faults").Reader, fault=fault)
    sys.modules.pop("reader_with_faults", None)


@pytest.mark.usefixtures("at_once")
def test_a_process_that_dies_is_an_error_and_no_hang(root, reader):
    make = reader("dies")
    dataset, items = opened(root, make)
    with pytest.raises(DataError, match="has ended by itself") as caught:
        list(decode(dataset, items, 16, 3, Workers(2, make, root)))
    assert "--jobs 1" in caught.value.way_out


@pytest.mark.usefixtures("at_once")
def test_what_a_plugin_does_wrong_is_said_as_in_one_process(root, reader):
    make = reader("contract")
    dataset, items = opened(root, make)
    with pytest.raises(ContractError, match="returned 17 x 17 pixels of mode RGB; asked for 16 x 16"):
        list(decode(dataset, items, 16, 3, Workers(2, make, root)))


@pytest.mark.usefixtures("at_once")
def test_what_a_plugin_prints_elsewhere_is_talk(root, reader, capfd):
    make = reader("none")
    dataset, items = opened(root, make)
    reading = decode(dataset, items, 16, 3, Workers(2, make, root))
    next(reading)
    capfd.readouterr()
    list(reading)
    out, err = capfd.readouterr()
    assert (out, err.count("talk")) == ("", 47)


@pytest.fixture
def command(tmp_path, class_folders, project, monkeypatch):
    """`dmlbench data prepare` of enough pictures for several processes, begun at once."""
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "empty"))
    class_folders(project / "many", 20, 1, size=(200, 200))
    for file in list((project / "many").glob("*/0.png")):
        for number in range(1, 100):
            file.with_name(f"{number}.png").hardlink_to(file)
    code = textwrap.dedent(
        """
        if __name__ == "__main__":
            from dmlbench.data import decoding
            decoding.TRIAL_SECONDS = decoding.WORTH_SECONDS = 0
            from dmlbench.cli import main
            main(["data", "prepare", "folder:many", "--track", "tiny", "--jobs", "2"])
        """
    )
    (project / "command.py").write_text(code)
    started = []

    def start() -> psutil.Popen:
        started.append(
            psutil.Popen(
                [sys.executable, "command.py"], start_new_session=True, stderr=subprocess.PIPE, text=True
            )
        )
        deadline = time.monotonic() + 60
        while not workers(started[-1]) or size(tmp_path / "empty") < 50_000:
            assert started[-1].poll() is None, started[-1].communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def workers(process: psutil.Process) -> list[psutil.Process]:
    """Those of its processes that read."""
    return [child for child in process.children() if any("spawn_main" in part for part in child.cmdline())]


def size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("data/*/.building/.images*"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_ends_all_processes_and_says_one_line(command, tmp_path):
    process = command()
    reading = workers(process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "interrupted; a run continues when the command is given again"
    _, alive = psutil.wait_procs(reading, timeout=10)
    assert alive == []
    assert [
        path.name for path in (tmp_path / "empty" / "data").glob("many-*/*") if path.name != ".lock"
    ] == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_when_the_command_is_killed_the_others_end_too_and_it_is_begun_again(command, tmp_path, dmlbench):
    process = command()
    reading = workers(process)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    _, alive = psutil.wait_procs(reading, timeout=10)
    assert alive == []
    assert dmlbench("data", "prepare", "folder:many", "--track", "tiny").status == 0
    assert dmlbench("data", "verify", "folder:many", "--track", "tiny").status == 0


def test_archives_are_opened_in_each_process(root, tmp_path, task, images, monkeypatch):
    """A reader that keeps files open cannot be pickled; it is made anew."""
    from dmlbench_plugins.datasets.omniglot import Omniglot

    for name, classes in (("images_background", range(6)), ("images_evaluation", range(6, 12))):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for number in classes:
                for file in (root / f"class {number}").iterdir():
                    archive.write(file, f"{name}/class {number}/character01/{file.name}")
    for attribute in ("TRIAL_SECONDS", "WORTH_SECONDS"):
        monkeypatch.setattr(decoding, attribute, 0)
    make = functools.partial(Omniglot, check=False)
    dataset, items = opened(tmp_path, make)
    assert list(decode(dataset, items, 16, 1, Workers(2, make, tmp_path))) == list(
        decode(dataset, items, 16, 1)
    )
