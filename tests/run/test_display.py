import os
import pty
import re
import subprocess
import sys

import pytest

from dmlbench.run.display import PlainDisplay, display, label, summary
from dmlbench.run.planner import plan
from dmlbench.run.recording import failed_record


@pytest.fixture
def planned(project):
    return plan(["das"], task="tiny", profile="smoke")[0]


@pytest.fixture
def failed(planned):
    def make(message, frames=()):
        return failed_record(planned, "x", {"kind": "ValueError", "message": message, "frames": frames})

    return make


@pytest.fixture
def good(failed):
    record = failed("")
    return record.model_copy(
        update={
            "outcome": record.outcome.model_copy(update={"status": "ok"}),
            "metrics": {"map_at_r": 0.25, "recall_at_1": 0.5},
            "seconds": {"train": 2.0, "embed": 0.5, "score": 0.5},
            "images_seen": 4000,
        }
    )


def test_a_label_is_short(planned):
    assert label(planned) == "das seed 0"


def test_a_finished_run_is_one_line_with_score_and_speed(planned, good):
    line = "das seed 0  validation  recall_at_1 0.5000  map_at_r 0.2500"
    assert summary(planned, good, cached=False) == f"{line}  3.0 s  2,000 images/s"
    assert summary(planned, good, cached=True) == f"{line}  (from its record)"


def test_a_failure_names_kind_place_and_way_out(planned, failed):
    text = "class 17 has 1 image\n  in   sampler\n  try  --set sampler.per_class=1\nand much more"
    assert summary(planned, failed(text), cached=False) == (
        "das seed 0  FAILED  ValueError: class 17 has 1 image\n"
        "  in   sampler\n"
        "  try  --set sampler.per_class=1"
    )


def test_a_failure_without_place_names_the_last_frame(planned, failed):
    assert summary(planned, failed("bad", ["a.py:1 f", "b.py:2 g"]), cached=False).endswith(
        "bad\n  in   b.py:2 g"
    )


def test_a_failure_without_any_words_is_shown_too(planned, failed):
    assert summary(planned, failed(""), cached=False) == "das seed 0  FAILED  ValueError: "


def test_elsewhere_than_on_a_terminal_there_is_a_line_per_finished_run_on_standard_error(
    planned, good, capsys
):
    with display(1) as observer:
        assert isinstance(observer, PlainDisplay)
        observer.started(planned)
        observer.progress(planned, "train", {"images": 10, "loss": 1.0})
        observer.finished(planned, good, cached=False)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


SCRIPT = """
import time
from dmlbench.run.display import LiveDisplay, display
from dmlbench.run.planner import plan
from dmlbench.run.recording import failed_record
planned, other = plan(["das", "untrained"], task="tiny", profile="smoke")
with display(2) as live:
    assert isinstance(live, LiveDisplay)
    live.started(planned)
    live.started(other)
    live.progress(planned, "train", {"images": 0, "loss": None, "validation": None})
    for images in (160, 320, 480):
        time.sleep(0.15)
        live.progress(planned, "train", {"images": images, "loss": 1.25, "validation": 0.5})
    live.progress(planned, "embed", {})
    failure = {"kind": "ValueError", "message": "[bad] luck"}
    live.finished(planned, failed_record(planned, "x", failure), cached=False)
    live.finished(other, failed_record(other, "x", failure), cached=False)
"""


@pytest.mark.slow
def test_on_a_terminal_the_live_table_shows_method_speed_loss_and_score(project):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "140"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "das seed 0" in text
    assert "untrained seed 0" in text
    assert re.search(r"train [\d,]+ img/s loss 1.250 best 0.500", text)
    assert "das seed 0  FAILED  ValueError: [bad] luck" in text
    assert "2 of 2" in text
