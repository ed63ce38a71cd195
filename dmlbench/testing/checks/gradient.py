"""The gradient is that of the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed, NotApplicable
from dmlbench.testing.catalogue import LOSSES, promise
from dmlbench.train.objective import part_value

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_THROUGH_FP32 = {"head", "feature_maps", "teacher"}
"""What core makes in fp32, whatever the rows are: differences in float64 cannot be taken through it."""
_MANY = 600
"""Numbers; beyond, random directions are checked instead of every number."""


@promise(
    "gradient/correct",
    LOSSES,
    "A wrong backward or a detached part trains something else than what the loss says; differences show it.",
    after=("values/finite", "train/same-bits", "state/resume"),
)
def correct(subject: Subject) -> None:
    if through := sorted(subject.asks & _THROUGH_FP32):
        raise NotApplicable(f"reads {', '.join(through)}, which core makes in fp32")
    bench = Bench(subject, double=True)
    sample = bench.samples.batch(classes=3, per_class=3)
    leaves = bench.leaves(sample)

    def value(*_: Tensor) -> Tensor:
        call = bench.prepare(sample, leaves)
        answer = part_value(subject.slot, bench.call(call), {})
        if answer is None:
            raise NotApplicable("returns None for three classes of three images")
        return answer

    if not value().requires_grad:
        raise CheckFailed("the value has no gradient")
    inputs = (*leaves, *bench.own_parameters)
    many = sum(tensor.numel() for tensor in inputs) > _MANY
    try:
        # Every input is a leaf that the value is computed from: the differences change it in place.
        torch.autograd.gradcheck(value, inputs, fast_mode=many, atol=1e-6, rtol=1e-3)
    except GradcheckError as error:
        raise CheckFailed(f"differs from differences of the value: {_first_line(str(error))}") from error


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(",.") if lines else "no details"
