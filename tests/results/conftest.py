"""Records made up for tests: valid, small, and different exactly where a test says so."""

import hashlib
from collections.abc import Callable

import pytest

from dmlbench.results.classes import ClassSums, digest
from dmlbench.spec.record import Outcome, Record


def make_record(
    method: str = "dmlbench:alpha", seed: int = 0, score: float = 0.5, **changes: object
) -> Record:
    """A quick validation record of `method`; its run key follows from method, seed, profile and numerics."""
    fields: dict[str, object] = {
        "method": method,
        "seed": seed,
        "protocol": "zero-shot/v1",
        "task": "emoji",
        "track": "emoji-conv4-32px-d128",
        "profile": "quick",
        "budget": 95_000,
        "scored": "validation",
        "numerics": "cpu-bf16",
        "metrics": {"map_at_r": score, "recall_at_1": score},
        "metric_versions": {"map_at_r": 1, "recall_at_1": 1},
        "images_seen": 94_976,
        "dimension": 128,
        "inference_parameters": 120_000,
        "outcome": Outcome(status="ok"),
        "digests": dict.fromkeys(("protocol", "task", "track", "data"), f"sha256:{'ab' * 32}"),
        **changes,
    }
    name = "|".join(str(fields[key]) for key in ("method", "seed", "profile", "numerics"))
    key = hashlib.sha256(name.encode()).hexdigest()
    fields.setdefault("run_key", key[:32])
    fields.setdefault("run_id", f"20260102T030405Z-{key[:6]}")
    return Record.model_validate(fields)


def make_ranked(
    method: str = "dmlbench:alpha", seed: int = 0, score: float = 0.5, **changes: object
) -> Record:
    """A record that a frozen zero-shot/v1 ranks."""
    return make_record(
        method, seed, score, **{"profile": "ranked", "scored": "test", "budget": 190_000, **changes}
    )


def make_sums(score: float, spread: float = 0.0, classes: int = 40, queries: int = 10) -> ClassSums:
    """Sums whose mean is `score`, the classes differing by up to `spread`."""
    shifts = [spread * (2 * index / (classes - 1) - 1) for index in range(classes)]
    sums = tuple(queries * (score + shift) for shift in shifts)
    return ClassSums(
        classes=tuple(f"c{index}" for index in range(classes)),
        counts=(queries,) * classes,
        sums={"map_at_r": sums, "recall_at_1": sums},
    )


def make_with_sums(make: Callable[..., Record], *args: object, spread: float = 0.0, **changes: object):
    """A record and the per-class sums that its digest and metrics agree with."""
    record = make(*args, **changes)
    sums = make_sums(record.metrics["map_at_r"], spread)
    return record.model_copy(update={"classes": digest(sums)}), sums


@pytest.fixture
def record():
    return make_record


@pytest.fixture
def ranked():
    return make_ranked


@pytest.fixture
def sums():
    return make_sums


@pytest.fixture
def with_sums():
    return make_with_sums


@pytest.fixture
def scores():
    """Ten seeds of a base, and of a method that is better by 0.02 with a little noise."""
    base = [0.401, 0.405, 0.398, 0.403, 0.400, 0.407, 0.402, 0.404, 0.399, 0.406]
    gain = [0.020, 0.021, 0.019, 0.022, 0.018, 0.020, 0.021, 0.019, 0.020, 0.022]
    return base, [round(b + g, 6) for b, g in zip(base, gain, strict=True)]


@pytest.fixture(scope="module")
def make_record_once():
    return make_record
