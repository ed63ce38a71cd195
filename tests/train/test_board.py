"""Who is at work can be read from outside."""

import pytest

from dmlbench.train import board
from dmlbench.train.board import Worker, at_work, beat, raised_by, read

ONE, OTHER = Worker("loss a:one", "one.py:1"), Worker("head b:other", "other.py:2")


@pytest.fixture
def shown():
    """The buffer that this process writes to for the time of a test."""
    buffer = memoryview(bytearray(board.SIZE))
    board.show_on(buffer)
    yield buffer
    board.show_on(memoryview(bytearray(board.SIZE)))


def test_it_shows_who_is_at_work_and_nobody_afterwards(shown):
    with at_work(ONE):
        assert read(shown)[1] == ONE
        with at_work(OTHER):
            assert read(shown)[1] == Worker("loss a:one -> head b:other", "other.py:2")
        assert read(shown)[1] == ONE
        with at_work(ONE):
            assert read(shown)[1] == ONE
    assert read(shown)[1] is None


def test_it_counts_beats(shown):
    beat()
    before, _ = read(shown)
    with at_work(ONE):
        beat()
        beat()
        assert read(shown)[1] == ONE
    after, _ = read(shown)
    assert after == before + 2


def test_an_endless_name_is_cut(shown):
    with at_work(Worker("ä" * 5000, "x.py:1")):
        _, worker = read(shown)
    assert worker.where == "x.py:1"
    assert set(worker.who) == {"ä"}


def test_an_error_is_its_innermost_workers_doing_even_when_it_is_wrapped():
    def wrapped():
        try:
            with at_work(ONE), at_work(OTHER):
                raise KeyError("x")
        except KeyError as error:
            raise ValueError("y") from error

    with pytest.raises(ValueError, match="y") as caught, at_work(ONE):
        wrapped()
    assert raised_by(caught.value).where == "other.py:2"
