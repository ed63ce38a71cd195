"""Inside a watched process: it says where it is, dies with the command, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import multiprocessing
import os
import resource
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import psutil

from dmlbench.run.failure import of_exception
from dmlbench.run.limits import Limits, let_system_refuse
from dmlbench.train import board

THREADS = 1
"""Of torch in each process: two threads give other bits than one. `--jobs` fills the cores."""
_LIKELY_VICTIM = "500"
"""When memory is short, Linux ends such a process before the command and before what else runs here."""
_LOG_TAIL = 2**16


def opened(handle: Any) -> int:
    """The number, here, of a file that the parent opened."""
    return handle.detach()


def run(
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    messages: Connection,
    output: int,
    stack: int,
    shared: Any,
    limits: Limits,
) -> NoReturn:
    """Call `work(messages.send, *arguments)`; whatever it raises is sent as `{"failure": …}`."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    _redirect(output)
    faulthandler.enable(stack)
    faulthandler.register(signal.SIGUSR1, stack)
    board.show_on(memoryview(shared).cast("B"))
    with contextlib.suppress(OSError):  # no such file elsewhere than on Linux
        Path("/proc/self/oom_score_adj").write_text(_LIKELY_VICTIM)
    import torch

    torch.set_num_threads(THREADS)
    status = 1
    try:
        let_system_refuse(limits)
        work(messages.send, *arguments)
        status = 0
    except BaseException as error:  # sys.exit too: only the return of `work` is its end
        _lift_memory_limit()
        failure = of_exception(error)
        failure["log"] = failure["log"][-_LOG_TAIL:]
        messages.send({"failure": failure})  # not by a file: the disk may be full
        if os.environ.get("DMLBENCH_TRACEBACK"):
            traceback.print_exc()
    if left := _end_descendants():
        messages.send({"left": left})
    _leave(status)


def _redirect(output: int) -> None:
    """What a plugin prints is talk, not data, and there may be very much of it."""
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # what it said last is known when it crashes


def _die_with_parent() -> None:
    """An orphan would go on writing into a run that somebody else may have taken up again."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=_kill_all_after, args=(parent,), daemon=True, name="dmlbench-orphan").start()
    if hasattr(fcntl, "F_SETSIG"):  # the kernel does it even while C code holds the interpreter
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)


def _kill_all_after(parent: Any) -> None:
    parent.join()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _lift_memory_limit() -> None:
    """Telling what went wrong takes memory too, and the frames still hold theirs."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _end_descendants() -> list[str]:
    """Threads and processes that are still there at the end; they take from the runs that follow."""
    own = threading.main_thread()
    left = [f"thread {t.name}" for t in threading.enumerate() if t is not own and not t.daemon]
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
            left.append(f"process {process.name()}")
            process.kill()
    return [f"{count} x {what}" if count > 1 else what for what, count in Counter(left).items()]


def _leave(status: int) -> NoReturn:
    """At once: joining threads and running what a component left for the exit may never end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # the component closed it
            stream.flush()
    os._exit(status)
