"""What it remembers is in its checkpoint: training that was cut goes on as if it had not been."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmlbench.testing.case import CheckFailed
from dmlbench.testing.catalogue import TRAINED, promise

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_ALL = {*TRAINED, "method"}


@promise(
    "state/declared",
    _ALL,
    "A plain attribute or a closure that changes in training is in no checkpoint: a resumed run forgets it.",
    after=("train/runs",),
)
def declared(subject: Subject) -> None:
    whole = subject.twin.whole
    if whole.stage == "save":
        raise CheckFailed(whole.error)


@promise(
    "state/loads",
    _ALL,
    "A buffer that took its shape in training does not fit a component that has just been built.",
    after=("state/declared",),
)
def loads(subject: Subject) -> None:
    for cut, outcome in subject.twin.resumed.items():
        if outcome.error and outcome.stage in ("start", "load"):
            raise CheckFailed(f"the checkpoint after step {cut}: {outcome.error}")


@promise(
    "state/restored",
    _ALL,
    "State that loading sets back is lost without an error, and may show only thousands of steps later.",
    after=("state/loads",),
)
def restored(subject: Subject) -> None:
    for cut, outcome in subject.twin.resumed.items():
        saved = subject.twin.whole.saved[cut]
        if lost := sorted(
            n for n in saved.keys() | outcome.loaded.keys() if saved.get(n) != outcome.loaded.get(n)
        ):
            raise CheckFailed(f"after step {cut} loading gives other values of {', '.join(lost[:3])}")


@promise(
    "state/resume",
    _ALL,
    "A resumed run must be the uninterrupted one bit for bit, or every restart is another experiment.",
    after=("state/restored", "train/same-bits", "sampler/no-look-ahead"),
)
def resume(subject: Subject) -> None:
    whole = subject.twin.whole
    for cut, outcome in subject.twin.resumed.items():
        if outcome.error:
            raise CheckFailed(f"resumed after step {cut} in a fresh process: {outcome.error}")
        for step, values in outcome.logs.items():
            if values != whole.logs[step]:
                raise CheckFailed(
                    f"cut after step {cut} and resumed in a fresh process, step {step} gives "
                    f"{values.get('loss', values)}, not {whole.logs[step].get('loss')}"
                )
        if moved := [name for name in whole.final if whole.final[name] != outcome.final.get(name)]:
            raise CheckFailed(
                f"cut after step {cut} and resumed in a fresh process, it ends with another "
                f"{', '.join(moved[:3])}"
            )
