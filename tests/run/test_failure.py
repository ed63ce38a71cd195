"""From exceptions and dumps to what a record says."""

from dmlbench.run.failure import dumped_frames, of_end, of_exception, with_disk_trouble
from dmlbench.train.board import Worker, at_work

WORKER = Worker("loss local:ring as 'loss'", "/home/somebody/ring.py:4")
STUCK = """Thread 0x00007f0000000001 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 100 in wait

Thread 0x00007f0000000002 (most recent call first):
  File "/home/somebody/ring.py", line 7 in inner
  File "/home/somebody/ring.py", line 5 in ring
  File "/site-packages/torch/nn/modules/module.py", line 1 in _call_impl
  File "/site-packages/dmlbench/train/calling.py", line 9 in answer_of
  File "/site-packages/dmlbench/train/loop.py", line 9 in step
"""


def caught(error):
    try:
        with at_work(WORKER):
            raise error
    except BaseException as found:
        return of_exception(found)


def test_an_exception_is_kind_message_component_and_frames():
    said = caught(ValueError("out of luck"))
    assert said["kind"] == "ValueError"
    assert said["message"] == "out of luck\n  in   loss local:ring as 'loss', ring.py:4"
    assert said["frames"][-1].endswith(" caught")
    assert "ValueError: out of luck" in said["log"]


def test_an_exception_whose_text_raises_is_told_without_it():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    assert caught(Mute())["message"].startswith("Mute without a readable text\n")


def test_memory_that_was_refused_has_one_name():
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("std::bad_alloc"),
    ):
        said = caught(error)
        assert said["kind"] == "OutOfMemory"
        assert "  try  --memory-gib N" in said["message"]


def test_the_main_threads_frames_are_told_innermost_last():
    assert [str(frame) for frame in dumped_frames(STUCK)] == [
        "dmlbench/train/loop.py:9 step",
        "dmlbench/train/calling.py:9 answer_of",
        "torch/nn/modules/module.py:1 _call_impl",
        "ring.py:5 ring",
        "ring.py:7 inner",
    ]


def test_of_a_crash_it_is_the_thread_that_crashed():
    crash = STUCK.replace("Thread 0x00007f0000000001", "Fatal Python error: Aborted\n\nCurrent thread 0x1", 1)
    assert [str(frame) for frame in dumped_frames(crash)] == ["threading.py:100 wait"]


def test_an_end_names_the_innermost_line_of_the_components_file():
    said = of_end("train", -11, WORKER, STUCK)
    assert said["kind"] == "ProcessEnded"
    assert said["message"] == (
        "the stage 'train' was killed by SIGSEGV\n  in   loss local:ring as 'loss', ring.py:7 inner"
    )
    assert of_end("train", -9, None, "")["message"].endswith("was killed by SIGKILL (out of memory?)")
    assert (
        of_end("embed", 0, None, "")["message"]
        == "the stage 'embed' ended with exit status 0 before it was done"
    )


def test_a_full_disk_is_one_clear_line(tmp_path):
    said = caught(OSError(28, "No space left on device"))
    message = with_disk_trouble(said, tmp_path)["message"]
    assert message.startswith(f"cannot write to {tmp_path}: No space left on device\n  try  make room")
    other = caught(OSError("something else"))
    assert with_disk_trouble(other, tmp_path) == other
