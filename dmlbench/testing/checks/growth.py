"""Memory grows with the square of the batch at most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed
from dmlbench.testing.catalogue import LOSSES, promise
from dmlbench.testing.counting import LargestTensor
from dmlbench.train.objective import part_value
from dmlbench.train.values import NewRows

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject

_CLASSES = (4, 8, 16)
"""Of four images each: three batch sizes, each twice the one before."""
_STEEPEST = 2.4
"""Of log2(elements) from the second size to the third: a square gives 2, a cube 3."""


@promise(
    "growth/elements",
    {*LOSSES, "miner", "augmenter"},
    "A tensor of batch x batch x batch fits at 32 and not at 512: counted in elements, it shows at once.",
    after=("build", "values/finite", "miner/large-batch", "augmenter/form"),
)
def elements(subject: Subject) -> None:
    bench = Bench(subject)
    counts = [_largest(bench, classes) for classes in _CLASSES]
    steepness = math.log2(max(counts[2], 1) / max(counts[1], 1))
    if steepness > _STEEPEST:
        sizes = ", ".join(str(4 * classes) for classes in _CLASSES)
        raise CheckFailed(
            f"the largest tensor at {sizes} rows has {', '.join(map(str, counts))} elements: "
            f"growth to the power {steepness:.1f}"
        )


def _largest(bench: Bench, classes: int) -> int:
    """Elements of the largest tensor that the subject makes, forwards and backwards."""
    sample = bench.samples.batch(classes=classes, per_class=4)
    call = bench.prepare(sample)
    call.look_up()  # what core and the miner allocate is not the subject's
    with LargestTensor() as counted:
        answer = bench.call(call)
        if bench.subject.role in LOSSES:
            value = part_value(bench.subject.slot, answer, {})
        else:
            value = answer.rows.sum() if isinstance(answer, NewRows) else None
        if value is not None and value.requires_grad and call.leaves:
            torch.autograd.grad(value, call.leaves, allow_unused=True)
    return counted.elements
