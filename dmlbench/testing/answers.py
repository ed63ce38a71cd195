"""Whether an answer keeps its form, and whether two answers say the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed
from dmlbench.testing.catalogue import LOSSES
from dmlbench.testing.samples import Sample
from dmlbench.testing.tuples import check_mined, mined_sets
from dmlbench.train.values import NewRows

CLOSE = 1e-4
"""Relative; fp32 sums in another order differ by less."""


def finite_loss(bench: Bench, sample: Sample) -> torch.Tensor | None:
    """The loss of `sample`, which must be None or finite with finite gradients; its value."""
    value, leaves = bench.valued(sample)
    if value is None:
        return None
    if not bool(torch.isfinite(value.detach())):
        raise CheckFailed(f"the value is {float(value.detach())}")
    if not value.requires_grad:
        raise CheckFailed(
            "the value has no gradient, and core has to differentiate it; None says that nothing counts"
        )
    for gradient in torch.autograd.grad(value, leaves, allow_unused=True) if leaves else ():
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            raise CheckFailed("the gradient is not finite")
    return value.detach()


def sound(bench: Bench, sample: Sample) -> Any:
    """The answer to `sample`, which must be of its kind's form and finite."""
    if bench.subject.role in LOSSES:
        return finite_loss(bench, sample)
    answer = bench.answer(sample)
    if bench.subject.role == "miner":
        check_mined(bench, sample, answer)
    else:
        _check_new_rows(bench, sample, answer)
    return answer


def compare(bench: Bench, one: Sample, other: Sample, what: str) -> None:
    """`CheckFailed` when the two samples, which mean the same, get different answers."""
    first, second = sound(bench, one), sound(bench, other)
    if bench.subject.role == "miner":
        agree = mined_sets(bench, first) == mined_sets(bench, second)
        difference = "mines other tuples"
    else:
        one_values, other_values = _tensors(first), _tensors(second)
        agree = len(one_values) == len(other_values) and all(map(_close, one_values, other_values))
        difference = f"gives {_words(second)}, not {_words(first)}"
    if not agree:
        raise CheckFailed(f"{difference}, for {what}")


def _check_new_rows(bench: Bench, sample: Sample, answer: Any) -> None:
    if answer is None:
        return
    rows = answer.rows if isinstance(answer, NewRows) else answer
    if not isinstance(rows, Tensor) or not bool(torch.isfinite(rows).all()):
        raise CheckFailed("returns rows that are not finite numbers")


def _tensors(answer: Any) -> list[Tensor]:
    if answer is None:
        return []
    return [answer] if isinstance(answer, Tensor) else [answer.rows, answer.source]


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.double(), other.double(), rtol=CLOSE, atol=1e-6)


def _words(answer: Any) -> str:
    if answer is None:
        return "None"
    return f"{float(answer):.7g}" if isinstance(answer, Tensor) and answer.ndim == 0 else "other rows"
