"""Methods with state of their own: killed long after their warm-up and issued again, the same numbers."""

import os
import signal

import pytest

from dmlbench.registry.registry import registry

pytestmark = pytest.mark.slow

STATEFUL = (
    "das",
    "triplet-das",
    "two-stage-generation",
    "iaa",
    "iaa-released",
    "hier",
    "alternating-projections",
    "alternating-projections-hard-classes",
    "loss-ensemble",
    "loss-ensemble-compressed",
    "gaussian-subspaces",
    "hybrid-global-local",
)
OFFERED = {entry.plugin.id for entry in registry().entries if entry.plugin.kind == "method"}


@pytest.fixture
def killed_after(project, spawn, until):
    """Kill a `run` as soon as it has written so many checkpoints; its folder."""

    def start(method, checkpoints):
        process = spawn("run", method, "--task", "tiny", "--profile", "quick", "--json")
        written = {}

        def often_enough():
            for path in (project / "runs").glob("*/checkpoint.pt"):
                written[path.stat().st_mtime_ns] = path.parent
            return len(written) >= checkpoints

        until(often_enough, seconds=240)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return next(iter(written.values()))

    return start


@pytest.mark.parametrize("method", [name for name in STATEFUL if name in OFFERED])
def test_a_killed_run_of_a_method_with_state_is_the_uninterrupted_one(
    method,
    killed_after,
    same_as_uninterrupted,
):
    same_as_uninterrupted(method, killed_after(method, checkpoints=2))  # of four: half of the budget
