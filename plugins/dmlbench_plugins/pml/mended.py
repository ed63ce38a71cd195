"""PML losses that cannot train here as they are, or warn of what no user can help. They compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_metric_learning import losses
from torch import Tensor

from dmlbench.api import UsageError


class DynamicSoftMarginLoss(losses.DynamicSoftMarginLoss):
    """Its running histogram becomes a buffer: PML keeps it, with the last step's graph, in an attribute.

    So a second step fails, and a checkpoint would miss it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        histogram = self.__dict__.pop("hist_")
        self.register_buffer("hist_", histogram)

    def compute_loss(self, *arguments: Any) -> dict[str, Any]:
        answer = super().compute_loss(*arguments)
        self.hist_ = self.hist_.detach()
        return answer


class HistogramLoss(losses.HistogramLoss):
    """It indexes by a list of lists; torch takes that for a tuple still, and warns."""

    def compute_loss(self, *arguments: Any) -> dict[str, Any]:
        with _without("Using a non-tuple sequence"):
            return super().compute_loss(*arguments)


class LargeMarginSoftmaxLoss(losses.LargeMarginSoftmaxLoss):
    """It hands tensors to SciPy in a way that NumPy deprecates."""

    def init_margin(self) -> None:
        with _without("__array_wrap__"):
            super().init_margin()


class SphereFaceLoss(losses.SphereFaceLoss):
    """As `LargeMarginSoftmaxLoss`."""

    def init_margin(self) -> None:
        with _without("__array_wrap__"):
            super().init_margin()


class ManifoldLoss(losses.ManifoldLoss):
    """It deals its proxies out to rows, and says nothing one understands when there are too few of those."""

    def compute_loss(self, embeddings: Tensor, *arguments: Any) -> dict[str, Any]:
        if len(embeddings) < self.K:
            raise UsageError(
                f"ManifoldLoss with K = {self.K} needs as many rows; here are {len(embeddings)}",
                way_out=f"K of at most {len(embeddings)}",
            )
        return super().compute_loss(embeddings, *arguments)


@contextmanager
def _without(message: str) -> Iterator[None]:
    """Inside, warnings that begin so are not shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message)
        yield
