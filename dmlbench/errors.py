"""Everything dmlbench raises on purpose.

DmlbenchError
├── UsageError            an option, name or setting that the user gave         exit 2
├── SpecError             a TOML or JSON file that does not say what it must    exit 2
├── ContractError         a component that breaks the plugin contract           exit 2
├── DataError             a data set that is missing, corrupt or misread        exit 2
├── MissingPackageError   an optional package; the extra that brings it         exit 2
├── RunError              a run that started and could not end well             exit 1
└── ResultsError          records or tables that contradict each other          exit 1

An error names the thing, the place and the way out; `str(error)` is what a user reads
on a terminal, `error.one_line()` elsewhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DmlbenchError(Exception):
    """Base of the tree. `place`, `near` and `way_out` become lines of their own."""

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        place: object | None = None,
        near: str | None = None,
        way_out: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = None if place is None else str(place)
        self.near = near
        self.way_out = way_out

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {word:<4} {text}" for word, text in self._hints())])

    def one_line(self) -> str:
        """The same for a log: `message; in place; near word; try this`."""
        parts = [self.message, *(f"{word} {text}" for word, text in self._hints())]
        return "; ".join(" ".join(part.split()) for part in parts)

    def _hints(self) -> list[tuple[str, str]]:
        hints = (("in", self.place), ("near", self.near), ("try", self.way_out))
        return [(word, text) for word, text in hints if text]


class UsageError(DmlbenchError): ...


class SpecError(DmlbenchError): ...


class ContractError(DmlbenchError): ...


class DataError(DmlbenchError): ...


class MissingPackageError(DmlbenchError): ...


class RunError(DmlbenchError):
    exit_code = 1


class ResultsError(DmlbenchError):
    exit_code = 1


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word most like `word`, or None when none is as like as `cutoff` (1 is equal).

    >>> nearest("proxyanchor", ["contrastive", "proxy-anchor"])
    'proxy-anchor'
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)
