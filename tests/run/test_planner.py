"""Whatever is wrong with a command is found before any run."""

import pytest
import torch

from dmlbench.errors import DmlbenchError, UsageError
from dmlbench.run.planner import plan


def planned(*methods, **options):
    return plan(methods, **{"task": "tiny", "profile": "smoke", **options})


def test_methods_are_outermost_and_seeds_are_the_profiles(project):
    runs = planned("das", "contrastive", seeds=[3, 1])
    assert [(run.spec.name, run.spec.seed) for run in runs] == [
        ("dmlbench:das", 3),
        ("dmlbench:das", 1),
        ("dmlbench:contrastive", 3),
        ("dmlbench:contrastive", 1),
    ]
    assert [run.spec.seed for run in planned("das")] == [0]


def test_every_run_has_a_key_of_its_own(project):
    runs = planned("das", "contrastive", "multi-similarity", seeds=range(3))
    assert len({run.spec.key for run in runs}) == 9


def test_the_test_classes_stay_sealed_unless_they_are_asked_for(project):
    assert planned("das")[0].scored == "validation"
    assert planned("das", score_test=True)[0].scored == "test"


def test_a_changed_loss_file_is_another_run(losses):
    before = planned("./losses.py:plain")[0].spec
    other = losses.with_name("losses2.py")
    other.write_text(losses.read_text().replace("mean()", "sum()"))
    after = planned("./losses2.py:plain")[0].spec
    assert before.sources["loss"] != after.sources["loss"]
    assert before.sources["backbone"] == after.sources["backbone"]


@pytest.mark.parametrize(
    ("methods", "options", "said"),
    [
        (["contrastiv"], {}, ["no method or loss named 'contrastiv'", "near contrastive"]),
        (["das"], {"task": "tinny"}, ["no task named 'tinny'", "near tiny"]),
        (["das"], {"track": "tinny"}, ["no track named 'tinny'", "near tiny"]),
        (["das"], {"protocol": "local/tiny/v2"}, ["no protocol named 'local/tiny/v2'", "near local/tiny/v1"]),
        (["das"], {"profile": "ranked"}, ["no profile 'ranked'", "--profile smoke or quick"]),
        (["das"], {"changes": ["das.copys=2"]}, ["das has no setting 'copys'", "near copies"]),
        (["das"], {"changes": ["das.copies=two"]}, ["das.copies", "valid integer"]),
        (["das"], {"changes": ["ds.copies=2"]}, ["no component 'ds'", "near das"]),
        (["das"], {"numerics": "cpu-fp16"}, ["no numerics named 'cpu-fp16'", "cpu-fp32"]),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(project, methods, options, said):
    with pytest.raises(DmlbenchError) as error:
        planned(*methods, **options)
    assert error.value.exit_code == 2
    for words in said:
        assert words in str(error.value)


def test_a_component_of_the_wrong_kind_is_refused(project):
    (project / "mine.toml").write_text(
        'id = "mine"\nsummary = ""\nfidelity = "paper"\n[terms.loss]\ncomponent = "semihard"\n'
    )
    with pytest.raises(UsageError, match="no loss named 'semihard'") as error:
        planned("./mine.toml")
    assert error.value.place == "component 'loss' of mine"


@pytest.mark.parametrize(
    ("budget", "said"),
    [("{ quick = 9600 }", "no budget for the profile 'smoke'"), ("{ smoke = 31 }", "less than one batch")],
)
def test_a_track_without_budget_is_refused(project, budget, said):
    path = project / "local" / "tracks" / "tiny.toml"
    path.write_text(path.read_text().replace("{ smoke = 640, quick = 6400 }", budget))
    with pytest.raises(UsageError, match=said):
        planned("das")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_numerics_that_this_machine_cannot_do_are_refused(project):
    with pytest.raises(UsageError, match="no CUDA device here"):
        planned("das", numerics="cuda-bf16")


@pytest.mark.parametrize("protocol", ["zero-shot/v1", "noisy-label/v1"])
def test_a_task_with_every_class_on_every_side_is_no_task_of_classes_never_seen(protocol):
    with pytest.raises(UsageError, match="has every class on every side") as error:
        plan(["contrastive"], task="grocery-tags", protocol=protocol, profile="smoke")
    assert "--protocol multi-label/v1" in error.value.way_out
    assert plan(["contrastive"], task="grocery-tags", profile="smoke")
