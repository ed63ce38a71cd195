from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dmlbench.data.store import Prepared

LOSSES = """
import time

def plain(embeddings, labels):
    print("talk from a loss")
    return embeddings.square().sum(dim=1).sub(1).square().mean() + embeddings.var(dim=0).sum()

def slow(embeddings, labels):
    time.sleep(0.05)
    return embeddings.var(dim=0).sum()

def raises(embeddings, labels):
    raise ValueError("out of luck")

def nan(embeddings, labels):
    return embeddings.sum() * float("nan")

def shape(embeddings, labels):
    return embeddings.sum(dim=1)

def dies(embeddings, labels):
    import os
    os._exit(7)

def typo(embeddings, lables):
    return embeddings.sum()

def typo_with_default(embeddings, labels, embedings=None):
    return embeddings.sum()

def setting_before_the_star(embeddings, labels, margin=0.2):
    return embeddings.sum()

def star(*args):
    return args[0].sum()
"""


@pytest.fixture
def losses(project: Path) -> Path:
    """A file of losses, each with a fault of its own."""
    path = project / "losses.py"
    path.write_text(LOSSES)
    return path


@pytest.fixture
def issuing(dmlbench):
    """Makes a command `run` of options; it answers with what the command said and its records."""

    def with_options(*options):
        def issue(*arguments):
            done = dmlbench("run", *arguments, *options, "--profile", "smoke", "--jobs", 1, "--json")
            return done, json.loads(done.out) if done.out else []

        return issue

    return with_options


@pytest.fixture
def prepared(dmlbench):
    """The prepared data of a task."""

    def of(task):
        done = dmlbench("data", "prepare", task)
        assert done.status == 0, done.err
        return Prepared.open(Path(done.out.rpartition(" in ")[2].strip()))

    return of


@pytest.fixture
def records(dmlbench):
    """Issue `run` on the tiny task; its records beside what the command said."""

    def issue(*arguments):
        done = dmlbench("run", *arguments, "--task", "tiny", "--json")
        try:
            found = json.loads(done.out)
        except ValueError:
            found = []
        return SimpleNamespace(status=done.status, err=done.err, records=found)

    return issue


@pytest.fixture
def result():
    """What of a run has to be equal bit for bit, however often it was interrupted."""

    def read(root: Path):
        record = json.loads((root / "record.validation.json").read_text())
        embeddings = {
            which: hashlib.sha256(
                (root / f"embeddings.validation.{which}.safetensors").read_bytes()
            ).hexdigest()
            for which in ("selected", "last")
        }
        numbers = ("metrics", "last_metrics", "validation", "classes", "selected_images", "images_seen")
        return {**{name: record[name] for name in numbers}, **embeddings}

    return read


@pytest.fixture
def until():
    """Wait for something to become true."""

    def wait(happens, *, seconds=60.0):
        end = time.monotonic() + seconds
        while not happens():
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.005)

    return wait


@pytest.fixture
def same_as_uninterrupted(project, records, result):
    """Issue again; compare with a run that nobody disturbed."""

    def check(method, root):
        assert (root / "checkpoint.pt").exists()
        assert not (root / "trained.json").exists()
        assert records(method, "--profile", "quick").status == 0
        assert records(method, "--profile", "quick", "--out", "undisturbed").status == 0
        assert result(root) == result(project / "undisturbed" / root.name)

    return check
