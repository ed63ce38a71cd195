"""What a miner chose, against what pairs and triplets are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.testing.bench import Bench
from dmlbench.testing.case import CheckFailed
from dmlbench.testing.samples import Sample
from dmlbench.train.values import Pairs, Triplets

Masks = tuple[Bool[Tensor, "anchors refs"], Bool[Tensor, "anchors refs"]]


def check_mined(bench: Bench, sample: Sample, answer: Any) -> None:
    """`CheckFailed` unless the answer has the declared type, its places exist and weights are finite."""
    yields = bench.built.entry.plugin.yields
    if yields == "weights":
        if not isinstance(answer, Tensor) or answer.shape != (len(sample),):
            raise CheckFailed(f"declares weights and returns {_form(answer)}; one number a row is asked for")
        if not bool(torch.isfinite(answer).all()):
            raise CheckFailed("returns weights that are not finite")
        return
    if not isinstance(answer, Pairs if yields == "pairs" else Triplets):
        raise CheckFailed(f"declares {yields} and returns {_form(answer)}")
    anchors, refs = masks(bench, sample)[0].shape
    for name, tensor, width in _parts(answer):
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.int64 or tensor.shape[:-1] != (width,):
            raise CheckFailed(f"{name} is {_form(tensor)}; int64 of shape ({width}, n) is asked for")
        for line, limit in zip(tensor, (anchors, refs, refs), strict=False):
            if len(line) and not 0 <= int(line.min()) <= int(line.max()) < limit:
                raise CheckFailed(
                    f"{name} has places from {int(line.min())} to {int(line.max())} of {limit} rows"
                )


def masks(bench: Bench, sample: Sample) -> Masks:
    """Positives and negatives as core has them."""
    scope = bench.prepare(sample).scope
    return scope["positives"], scope["negatives"]


def roles(answer: Pairs | Triplets) -> Iterator[tuple[str, Int[Tensor, "2 n"]]]:
    """(`positive` or `negative`, places of anchor and ref) of all that was mined."""
    if isinstance(answer, Pairs):
        yield "positive", answer.positive
        yield "negative", answer.negative
    else:
        anchor, positive, negative = answer.indices
        yield "positive", torch.stack([anchor, positive])
        yield "negative", torch.stack([anchor, negative])


def mined_sets(
    bench: Bench, answer: Pairs | Triplets | Tensor, order: Int[Tensor, " rows"] | None = None
) -> Any:
    """An answer without its order. `order[i]` is the row that place i was before; None: as they are."""
    if isinstance(answer, Tensor):
        placed = answer if order is None else torch.empty_like(answer).index_put_((order,), answer)
        return [round(float(value), 5) for value in placed]
    renamed = {name: tensor if order is None else order[tensor] for name, tensor, _ in _parts(answer)}
    return {name: sorted(map(tuple, tensor.T.tolist())) for name, tensor in renamed.items()}


def _parts(answer: Pairs | Triplets) -> Iterator[tuple[str, Int[Tensor, "width n"], int]]:
    if isinstance(answer, Pairs):
        yield "positive", answer.positive, 2
        yield "negative", answer.negative, 2
    else:
        yield "indices", answer.indices, 3


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
