"""Runs under protocols that show more of the training images than their labels."""

import json

import pytest

METHOD = """
id = "of-a-kind"
summary = "Batches of emoji of one subgroup."
fidelity = "baseline"

[sampler]
component = "SAMPLER"
settings = { per_class = 3, classes_per_superclass = 2 }

[terms.loss]
component = "contrastive"
"""

SPY = '''
"""A sampler that writes down what it is told."""
import json

from dmlbench_plugins.samplers.super_class import SuperClass


class Spy(SuperClass):
    def draw(self, by_class, train_labels, train_superclass, generator):
        with open("told.json", "w") as file:
            json.dump([train_labels.tolist(), train_superclass.tolist()], file)
        return super().draw(by_class, train_labels, train_superclass, generator)

'''

PLUGIN = """
from dmlbench.api import SamplerPlugin, hookimpl


@hookimpl
def dmlbench_samplers():
    yield SamplerPlugin(id="spy", target="spies.parts:Spy")
"""


@pytest.fixture
def kinds(project):
    """The tiny protocol that shows superclasses, and one that shows what emoji do not have."""
    text = (project / "local/tiny/v1.toml").read_text()
    for name, column in (("kinds", "superclass"), ("none", "weather")):
        place = project / f"local/{name}/v1.toml"
        place.parent.mkdir()
        changed = text.replace("local/tiny/v1", f"local/{name}/v1").replace(
            "[profiles]", f'columns = ["{column}"]\n[profiles]'
        )
        place.write_text(changed)
    (project / "kind.toml").write_text(METHOD.replace("SAMPLER", "spies:spy"))
    return project


def run(dmlbench, protocol):
    return dmlbench("run", "./kind.toml", "--task", "tiny", "--protocol", protocol, "--profile", "smoke",
                    "--json", "--jobs", "1")  # fmt: skip


def test_a_sampler_sees_the_superclass_of_every_training_image_where_the_protocol_shows_it(
    kinds, distribution, installed, dmlbench
):
    installed(distribution("spies", PLUGIN, parts__py=SPY).site)
    done = run(dmlbench, "local/kinds/v1")
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    assert record["metrics"]["map_at_r"] > 0
    labels, superclasses = json.loads((kinds / "told.json").read_text())
    one_each = dict(zip(labels, superclasses, strict=True))
    assert [one_each[label] for label in labels] == superclasses
    assert 1 < len(set(superclasses)) < len(one_each)


def test_a_protocol_that_does_not_show_it_refuses_before_any_run(kinds, dmlbench):
    (kinds / "kind.toml").write_text(METHOD.replace("SAMPLER", "super-class"))
    done = run(dmlbench, "local/tiny/v1")
    assert done.status == 2
    assert "asks for 'train_superclass'" in done.err
    assert "zero-shot-superclass/v1" in done.err
    assert not (kinds / "runs").exists()


def test_a_data_set_without_the_column_is_named_with_the_way_out(kinds, dmlbench):
    (kinds / "kind.toml").write_text(METHOD.replace("SAMPLER", "super-class"))
    done = dmlbench(
        "run",
        "contrastive",
        "--task",
        "tiny",
        "--protocol",
        "local/none/v1",
        "--profile",
        "smoke",
        "--jobs",
        "1",
    )
    assert done.status == 1
    assert "no column 'weather'" in done.err + done.out
    assert "a task whose data set has it" in done.err + done.out
