"""It builds, and what it declares is meant for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmlbench.errors import nearest
from dmlbench.testing.case import CheckFailed
from dmlbench.testing.catalogue import TRAINED, promise

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject


@promise(
    "declarations",
    {*TRAINED, "method", "dataset"},
    "A declared failure of a check that does not exist would hide nothing and promise nothing.",
    after=(),
)
def declarations(subject: Subject) -> None:
    declared = subject.entry.plugin.expected_failures
    for name, reason in declared.items():
        if name not in subject.cases:
            near = nearest(name, subject.cases)
            raise CheckFailed(f"declares that it fails {name!r}, no check of a {subject.role}; near {near}")
        if not reason.strip():
            raise CheckFailed(f"declares that it fails {name!r} without a reason")


@promise(
    "build",
    {*TRAINED, "method"},
    "A wrong name, setting or signature must be an error before the first step, and defaults must work.",
    after=(),
)
def build(subject: Subject) -> None:
    subject.recipe()
