"""A run's key stands for the code that runs under it."""

import pytest

from dmlbench.errors import RunError
from dmlbench.run.assemble import build_recipe
from dmlbench.run.home import ready
from dmlbench.run.planner import plan


def test_code_that_changed_since_the_command_was_issued_does_not_run_under_its_key(project):
    (planned,) = plan(["contrastive"], task="tiny", profile="smoke")
    data = ready(planned.spec.task, planned.spec.track.images)
    build_recipe(planned.spec, data.train)
    other = {**planned.spec.sources, "loss": "sha256:" + "0" * 64}
    with pytest.raises(RunError, match="source of loss"):
        build_recipe(planned.spec.model_copy(update={"sources": other}), data.train)
