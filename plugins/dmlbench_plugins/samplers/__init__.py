"""The built-in samplers, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import SamplerPlugin


def offered() -> Iterator[SamplerPlugin]:
    yield SamplerPlugin(
        id="pk",
        target=f"{__name__}.pk:PK",
        summary="P random classes, K random images of each.",
    )
