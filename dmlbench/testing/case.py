"""One check of one component."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from dmlbench.errors import DmlbenchError
from dmlbench.registry.registry import talking
from dmlbench.testing.catalogue import Check

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_OURS = os.path.dirname(__file__)


class CheckFailed(AssertionError):
    """The component does not keep what the check asks for; the message says how it shows."""


class NotApplicable(Exception):
    """The check has nothing to say about this component; the message says why."""


class Case:
    """A check and its subject. `run()` returns, or raises `CheckFailed` or `NotApplicable`.

    Calling it is for pytest: it skips what does not apply and expects what the component declares to fail.
    """

    def __init__(self, check: Check, subject: Subject) -> None:
        self.id = check.id
        self.reason = check.reason
        self._check = check
        self._subject = subject

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"Case({self.id!r}, {self._subject.entry.full_id!r})"

    @property
    def expected_failure(self) -> str | None:
        """Why the component declares that it fails here; None when it does not."""
        return self._subject.entry.plugin.expected_failures.get(self.id)

    def run(self) -> None:
        """Run the check, at most once for a subject; ask again and it answers the same."""
        outcomes = self._subject.outcomes
        if self.id not in outcomes:
            outcomes[self.id] = self._outcome()
        if (error := outcomes[self.id]) is not None:
            raise error

    def __call__(self) -> None:
        import pytest

        try:
            self.run()
        except NotApplicable as why:
            pytest.skip(str(why))
        except CheckFailed as error:
            if self.expected_failure is None:
                raise
            pytest.xfail(f"{self.expected_failure} ({error})")
        if self.expected_failure is not None:
            raise CheckFailed(passes_unexpectedly(self.expected_failure))

    def _outcome(self) -> CheckFailed | NotApplicable | None:
        for prior in self._check.after:
            if prior in self._subject.cases and self._subject.cases[prior].stands_in_the_way():
                return _Blocked(f"means nothing while {prior} fails")
        try:
            with talking(), _one_thread():
                self._check.run(self._subject)
        except (CheckFailed, NotApplicable) as error:
            return error
        except (Exception, SystemExit) as error:  # the component's own, whatever it is
            failed = CheckFailed(said(error))
            failed.__cause__ = error
            return failed
        return None

    def stands_in_the_way(self) -> bool:
        """Whether it fails, or cannot say."""
        try:
            self.run()
        except (CheckFailed, _Blocked):
            return True
        except NotApplicable:
            return False
        return False


class _Blocked(NotApplicable):
    """Skipped because of another check's failure."""


def passes_unexpectedly(reason: str) -> str:
    """What is said of a declared failure that does not happen."""
    return f"was declared to fail ({reason}), and passes: take the declaration out"


def said(error: BaseException) -> str:
    """An exception in one line, with the place outside this kit that raised it."""
    if isinstance(error, DmlbenchError):
        return error.one_line()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_OURS)]
    own = [f for f in frames if f"{os.sep}torch{os.sep}" not in f.filename] or frames
    place = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""
    words = " ".join(str(error).split())
    return f"raises {type(error).__name__}: {words[:300]}{place}"


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """As runs have it: two threads give other bits than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
