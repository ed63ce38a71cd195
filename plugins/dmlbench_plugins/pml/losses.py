"""PML's losses as components: `dmlbench_plugins.pml.losses:CircleLoss` and so on, made when asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from jaxtyping import Bool, Float, Int
from pytorch_metric_learning import losses
from torch import Tensor, nn

from dmlbench.api import Pairs, Triplets
from dmlbench_plugins.pml import mended
from dmlbench_plugins.pml.constructors import announce, constructor
from dmlbench_plugins.pml.loss_table import LOSSES
from dmlbench_plugins.pml.scratch import scratch

_MINED = {"mined": (Literal["none", "pairs", "triplets"], "none")}
"""The setting that says which choice of the term's miner the loss reads."""


_UNMINED = {"none": "whole_batch"}
_MINED_TOO = {**_UNMINED, "pairs": "mined_pairs", "triplets": "mined_triplets"}


class _Form:
    """`forward`: of a component the method for what it was set to read, of a class the one for no miner."""

    def __get__(self, component: _Adapter | None, kind: type[_Adapter]) -> Callable[..., Tensor]:
        return getattr(kind, kind.forms["none"]) if component is None else getattr(component, component.form)


class _Adapter(nn.Module):
    """A PML loss in a form that asks core for what it reads."""

    forms: ClassVar[Mapping[str, str]]
    """What is read of a miner -> the method that reads it."""
    forward = _Form()

    def __init__(self, pml: nn.Module, mined: str) -> None:
        super().__init__()
        self.pml = pml
        self.form = self.forms[mined]

    def _value(self, *arguments: Any, **named: Any) -> Float[Tensor, ""]:
        return scratch(self.pml)(*arguments, **named)


class _PairLoss(_Adapter):
    """Anchors against refs, by indices alone."""

    forms = _MINED_TOO

    def whole_batch(
        self,
        anchors: Float[Tensor, "anchors dim"],
        refs: Float[Tensor, "refs dim"],
        positives: Bool[Tensor, "anchors refs"],
        negatives: Bool[Tensor, "anchors refs"],
    ) -> Float[Tensor, ""]:
        indices = (*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True))
        return self._against(anchors, refs, indices)

    def mined_pairs(
        self, anchors: Float[Tensor, "anchors dim"], refs: Float[Tensor, "refs dim"], pairs: Pairs
    ) -> Float[Tensor, ""]:
        return self._against(anchors, refs, (*pairs.positive, *pairs.negative))

    def mined_triplets(
        self, anchors: Float[Tensor, "anchors dim"], refs: Float[Tensor, "refs dim"], triplets: Triplets
    ) -> Float[Tensor, ""]:
        return self._against(anchors, refs, tuple(triplets.indices))

    def _against(self, anchors: Tensor, refs: Tensor, indices: tuple[Tensor, ...]) -> Float[Tensor, ""]:
        return self._value(anchors, indices_tuple=indices, ref_emb=None if refs is anchors else refs)


class _LabelLoss(_Adapter):
    """Rows and their labels; PML refuses a miner's choice."""

    forms = _UNMINED

    def whole_batch(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        return self._value(embeddings, labels)


class _RowLoss(_LabelLoss):
    """Rows and their labels, and a miner's choice among them."""

    forms = _MINED_TOO

    def mined_pairs(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], pairs: Pairs
    ) -> Float[Tensor, ""]:
        return self._value(embeddings, labels, (*pairs.positive, *pairs.negative))

    def mined_triplets(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], triplets: Triplets
    ) -> Float[Tensor, ""]:
        return self._value(embeddings, labels, tuple(triplets.indices))


class _EmbeddingLoss(_Adapter):
    """Rows alone."""

    forms = _UNMINED

    def whole_batch(self, embeddings: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
        return self._value(embeddings)


_FORMS = {"pairs": _PairLoss, "rows": _RowLoss, "labels": _LabelLoss, "embeddings": _EmbeddingLoss}


@functools.cache
def adapter(name: str) -> type[nn.Module]:
    """The component class for PML's loss `name`.

    `__wrapped__` is PML's class, so that the source digest of a run follows PML's file.
    """
    upstream, base = getattr(losses, name), _FORMS[LOSSES[name].reads]
    build = constructor(upstream)
    make = replace(build, upstream=getattr(mended, name, upstream))

    def __init__(self: _Adapter, **given: Any) -> None:
        mined = given.pop("mined", "none")
        base.__init__(self, make(given), mined)

    signature = announce(__init__, build, _MINED if len(base.forms) > 1 else {})
    body = {"__init__": __init__, "__signature__": signature, "__wrapped__": upstream}
    return type(name, (base,), {**body, "__module__": __name__, "__doc__": upstream.__doc__})


def __getattr__(name: str) -> type[nn.Module]:
    if name not in LOSSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return adapter(name)
