"""What a stage prints is kept and shown up to a bound, its beginning and its end."""

import os

import pytest

from dmlbench.run import output
from dmlbench.run.output import Output


@pytest.fixture
def pipe():
    source, sink = os.pipe()
    yield source, sink
    for end in (source, sink):
        os.close(end)


@pytest.fixture
def talk(pipe, tmp_path, monkeypatch):
    """Print pieces through small bounds; what the log holds and what was shown."""
    monkeypatch.setattr(output, "KEPT", 100)
    monkeypatch.setattr(output, "_END", 20)
    monkeypatch.setattr(output, "SHOWN", 30)

    def say(*pieces):
        log, shown = tmp_path / "output.log", []
        reader = Output(pipe[0], log, shown.append)
        for piece in pieces:
            os.write(pipe[1], piece)
            reader.read()
        reader.finish()
        return log.read_bytes() if log.exists() else None, shown

    return say


def test_silence_leaves_no_log(talk):
    assert talk() == (None, [])


def test_whole_lines_are_shown_however_they_came(talk):
    assert talk(b"on", b"e\ntw", b"o\nthree") == (b"one\ntwo\nthree", ["one", "two", "three"])


def test_what_is_no_text_is_shown_too(talk):
    assert talk(b"\xff\n")[1] == ["\ufffd"]


def test_of_too_much_the_beginning_and_the_end_are_kept(talk):
    log, shown = talk(*(f"line {i:03}\n".encode() for i in range(500)))
    text = log.decode()
    assert text.startswith("line 000\nline 001\n")
    assert text.endswith("line 498\nline 499\n")
    assert "bytes left out" in text
    assert len(log) < 200
    assert shown[:3] == ["line 000", "line 001", "line 002"]
    assert shown[-1].startswith("… it goes on printing, see ")
    assert len(shown) == 4


def test_a_little_over_the_bound_nothing_is_lost(talk):
    said = b"0123456789" * 11
    assert talk(said[:60], said[60:])[0] == said


def test_a_log_that_cannot_be_written_hinders_nobody(pipe, tmp_path):
    shown = []
    reader = Output(pipe[0], tmp_path / "missing" / "output.log", shown.append)
    os.write(pipe[1], b"hello\n")
    reader.finish()
    assert shown == ["hello"]
