"""Calling a component: it is known who is at work, and what was lent comes back as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor

from dmlbench.errors import ContractError
from dmlbench.registry.report import Entry
from dmlbench.train.answers import check_answer
from dmlbench.train.board import Worker, at_work, beat
from dmlbench.train.signature import entry_point, location

if TYPE_CHECKING:
    from dmlbench.train.component import Built

_PLAIN = {"loss", "mine", "augment", "augment_images", "combine", "backbone", "head"}
"""Moments that the kind says already."""
_workers: WeakKeyDictionary[Built, dict[str, Worker]] = WeakKeyDictionary()


def answer_of(built: Built, moment: str, function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """What `function` of the component `built` answers to `values`, checked.

    Raises `ContractError` when the component changed a tensor that it was lent, or answers with something
    that cannot be what this moment asks for.
    """
    lent = _versions(values)
    with at_work(worker(built, moment)):
        answer = function(**values)
        if inspect.isgenerator(answer):
            return _watched(answer, built, moment, lent)
        _refuse_changes(lent, built, moment)
        check_answer(built, moment, values, answer)
    if moment == "backbone":  # of all calls only these are bounded in number, by the budget
        beat()
    return answer


def judging(built: Built, moment: str) -> at_work:
    """What is raised inside is said of the component, whose answer core looks at."""
    return at_work(worker(built, moment))


def constructing(name: str, entry: Entry, target: Any) -> at_work:
    """What is raised inside is said of the component that is being built."""
    return at_work(Worker(_title(name, entry, "constructor"), location(target)))


def worker(built: Built, moment: str) -> Worker:
    """How the component at this moment is called in errors."""
    known = _workers.setdefault(built, {})
    if moment not in known:
        function = built.method(moment) or entry_point(built.object)
        known[moment] = Worker(_title(built.name, built.entry, moment), location(function))
    return known[moment]


def _title(name: str, entry: Entry, moment: str) -> str:
    kind = getattr(entry.plugin, "role", entry.plugin.kind)
    own = "" if entry.plugin.id == name else f" as {name!r}"
    return f"{kind} {entry.full_id}{own}" + ("" if moment in _PLAIN else f", {moment}")


def _watched(
    answer: Generator[Any, Any, Any], built: Built, moment: str, lent: list[tuple[str, Tensor, int]]
) -> Generator[Any, None, None]:
    """A generator's body runs when it is asked for the next value."""
    while True:
        with at_work(worker(built, moment)):
            try:
                value = next(answer)
            except StopIteration:
                _refuse_changes(lent, built, moment)
                return
        yield value


def _versions(values: Mapping[str, Any]) -> list[tuple[str, Tensor, int]]:
    """The tensors among `values`, with torch's count of the changes to each."""
    return [
        (name, value, value._version)
        for name, value in values.items()
        if isinstance(value, Tensor) and not value.is_inference()
    ]


def _refuse_changes(lent: list[tuple[str, Tensor, int]], built: Built, moment: str) -> None:
    for name, tensor, version in lent:
        if tensor._version != version:
            raise ContractError(
                f"{built.name} changed {name!r} in place, which others read too",
                way_out=f"work on a copy: {name} = {name}.clone()",
            )
