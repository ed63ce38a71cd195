import pytest

from dmlbench.files import write_text
from dmlbench.protocols import load_protocol, load_task, load_track
from dmlbench.run.methods import resolve_method
from dmlbench.spec.run import RunSpec


def spec(method="multi-similarity", changes=(), **fields):
    name, recipe = resolve_method(method, changes)
    given = {
        "name": name,
        "method": recipe,
        "protocol": load_protocol("zero-shot/v1"),
        "task": load_task("emoji"),
        "track": load_track("emoji-conv4-32px-d128"),
        "profile": "quick",
        "seed": 0,
        "numerics": "cpu-fp32",
        "torch": "2.13",
        "sources": {"loss": "sha256:" + "0" * 64},
    }
    return RunSpec.model_validate({**given, **fields})


@pytest.mark.parametrize(
    "method", ["multi-similarity", "das", "triplet-semihard", "softmax-center", "untrained"]
)
def test_a_run_spec_survives_its_file_with_the_same_key(tmp_path, method):
    before = spec(method)
    write_text(tmp_path / "spec.json", before.to_json())
    after = RunSpec.from_file(tmp_path / "spec.json")
    assert after.key == before.key
    assert after.to_json() == before.to_json()


def test_settings_of_every_type_survive_the_file(tmp_path):
    before = spec("das", ["das.scale_low=0.1", "das.copies=2", "das.detach=false", "loss.alpha=1e-7"])
    write_text(tmp_path / "spec.json", before.to_json())
    after = RunSpec.from_file(tmp_path / "spec.json")
    assert after.key == before.key
    settings = after.method.augmenters["das"].settings
    assert (settings["copies"], settings["detach"]) == (2, False)
    assert type(settings["copies"]) is int


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"profile": "smoke"},
        {"numerics": "cpu-bf16"},
        {"torch": "2.12"},
        {"sources": {"loss": "sha256:" + "1" * 64}},
        {"train_version": 99},
        {"track": load_track("omniglot-conv4-28px-d128")},
    ],
)
def test_whatever_can_move_the_numbers_moves_the_key(change):
    assert spec(**change).key != spec().key


def test_the_key_is_not_moved_by_prose():
    method = spec().method.model_copy(update={"summary": "other words"})
    assert RunSpec.model_validate({**dict(spec()), "method": method}).key == spec().key


def test_a_method_that_does_not_train_uses_no_budget():
    assert spec("untrained").budget == 0
    assert spec().budget == 95_000


def test_an_own_backbone_is_off_the_track():
    assert spec().on_track
    assert not spec("raw-pixels").on_track
