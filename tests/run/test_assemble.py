"""A run's key stands for the code that runs under it."""

import pytest
import torch

from dmlbench.errors import RunError
from dmlbench.run.assemble import build_recipe, load_weights, scored_with
from dmlbench.run.home import ready
from dmlbench.run.planner import plan


def test_code_that_changed_since_the_command_was_issued_does_not_run_under_its_key(project):
    (planned,) = plan(["contrastive"], task="tiny", profile="smoke")
    data = ready(planned.spec.task, planned.spec.track.images)
    build_recipe(planned.spec, data.train)
    other = {**planned.spec.sources, "loss": "sha256:" + "0" * 64}
    with pytest.raises(RunError, match="source of loss"):
        build_recipe(planned.spec.model_copy(update={"sources": other}), data.train)


def test_what_scores_depend_on_gets_its_weights_and_the_device_of_the_recipe(project):
    """Embedding makes no trainer, which would move them. `meta` stands for an accelerator."""
    (planned,) = plan(["loss-ensemble-compressed"], task="tiny", profile="smoke")
    data = ready(planned.spec.task, planned.spec.track.images)
    recipe = build_recipe(planned.spec, data.train)
    state = {name: values + 1 for name, values in recipe.model.state_dict().items()}
    module = scored_with(planned.spec, recipe)["combiner"]
    state |= {f"combiner.{name}": values + 2 for name, values in module.state_dict().items()}
    load_weights(planned.spec, recipe, state)
    loaded = recipe.model.state_dict()
    loaded |= {f"combiner.{name}": values for name, values in module.state_dict().items()}
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], values) for name, values in state.items())
    recipe.device = torch.device("meta")
    load_weights(planned.spec, recipe, state)
    assert {values.device.type for values in module.state_dict().values()} == {"meta"}
