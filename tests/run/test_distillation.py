"""Runs that are taught: who the teacher is, what it may know, that it stands still, and what is reported."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dmlbench.data.augment import to_input
from dmlbench.data.store import Prepared
from dmlbench.errors import RunError, UsageError
from dmlbench.protocols import load_protocol, load_task, load_track
from dmlbench.run.directory import RunDirectory
from dmlbench.run.finished import FinishedNetwork, digest_of_run
from dmlbench.run.home import ready
from dmlbench.run.lessons import held_against
from dmlbench.run.planner import in_waves, plan
from dmlbench.run.precheck import precheck
from dmlbench.run.teaching import state_digest, teacher_network
from dmlbench.run.training import train
from dmlbench.score import score

LESSONS = """
[distillation]
teacher = "contrastive"
rules = "local/tiny/v1"
seed = 0
plain = "contrastive"
"""
RULES = "local/lessons/v1"
SPOILERS = '''
"""What tries to change a teacher."""
import torch
from torch import nn


class Learner(nn.Module):
    """A teacher whose BatchNorm goes on learning, whatever mode it is put in."""

    def __init__(self, image_channels):
        super().__init__()
        self.norm = nn.BatchNorm1d(image_channels)
        self.feature_dim = image_channels

    def forward(self, images):
        self.norm.train()
        return self.norm(images.mean(dim=(2, 3)))


def pull(embeddings, teacher):
    return (embeddings.square().sum(dim=1) - teacher.square().sum(dim=1)).square().mean()
'''
PLUGIN = """
from dmlbench.api import BackbonePlugin, LossPlugin, hookimpl


@hookimpl
def dmlbench_backbones():
    yield BackbonePlugin(id="learner", target="spoilers.parts:Learner")


@hookimpl
def dmlbench_losses():
    yield LossPlugin(id="pull", target="spoilers.parts:pull")
"""
SPOILED = """
id = "spoiled"
summary = "A teacher that learns."
fidelity = "baseline"

[teacher]
component = "spoilers:learner"

[terms.loss]
component = "spoilers:pull"
"""
UNTRAINED = """
id = "by-chance"
summary = "A teacher that nobody trained."
fidelity = "baseline"

[teacher]
component = "dmlbench:conv4"
settings = { width = 4 }

[terms.loss]
component = "dmlbench:rkd-distance"
"""


@pytest.fixture
def lessons(project):
    """The tiny project with a protocol of teachers and students, and a smaller track."""
    text = (project / "local/tiny/v1.toml").read_text().replace("local/tiny/v1", RULES)
    text = text.replace('"zero-shot"', '"distillation"').replace("extra_forwards = 1", "extra_forwards = 2")
    head, profiles, rest = text.partition("[profiles]")
    place = project / "local/lessons/v1.toml"
    place.parent.mkdir()
    place.write_text(f"{head}{LESSONS}\n{profiles}{rest}")
    track = (project / "local/tracks/tiny.toml").read_text()
    small = track.replace('id = "tiny"', 'id = "small"').replace("dimension = 16", "dimension = 5")
    (project / "local/tracks/small.toml").write_text(small.replace("width = 8", "width = 4"))
    task = project / "local/tasks/tiny.toml"
    task.write_text(task.read_text().replace('track = "tiny"', 'track = "tiny"\nstudent_track = "small"'))
    return project


def planned(*methods, **options):
    return plan(methods, **{"task": "tiny", "protocol": RULES, "profile": "smoke", **options})


def run(dmlbench, *arguments, status=0):
    done = dmlbench("run", *arguments, "--task", "tiny", "--protocol", RULES, "--profile", "smoke",
                    "--jobs", "1", "--json")  # fmt: skip
    assert done.status == status, done.err
    return json.loads(done.out) if done.out else [], done.err


# ---- the rules


def test_the_official_rules_name_a_teacher_a_plain_student_and_smaller_tracks():
    rules = load_protocol("distillation/v1")
    assert rules.family == "distillation"
    assert rules.distillation.teacher == rules.distillation.plain == "triplet-distance-weighted"
    assert load_protocol("zero-shot/v1").distillation is None
    for name in ("emoji", "omniglot", "glyphs"):
        task = load_task(name)
        teacher, student = load_track(task.track), load_track(task.student_track)
        assert student.dimension < teacher.dimension
        assert student.images == teacher.images
        assert student.budget == teacher.budget


def test_one_teacher_teaches_all_and_each_seed_has_its_plain_student(lessons):
    runs = planned("rkd-da", "multi-similarity", "contrastive", seeds=[0, 1])
    teachers = {planned.spec.teacher for planned in runs}
    assert len(teachers) == 1
    (teacher, *_), plain, last = in_waves(runs)
    assert teacher.spec.key in teachers
    assert (teacher.spec.track.id, teacher.spec.seed, teacher.spec.protocol.id) == (
        "tiny",
        0,
        "local/tiny/v1",
    )
    assert {p.spec.key for p in plain} == {p.spec.plain for p in runs if p.spec.plain}
    assert [(p.spec.track.id, p.spec.seed) for p in plain] == [("small", 0), ("small", 1)]
    # The plain student itself is held against nobody; a method without a teacher is.
    assert [p.spec.plain is None for p in runs] == [False] * 4 + [True] * 2
    assert last == runs


def test_without_lessons_a_key_is_what_it_was(lessons):
    (run_,) = planned("contrastive", protocol="local/tiny/v1")
    assert run_.needs == ()
    assert (run_.spec.teacher, run_.spec.plain) == (None, None)
    assert "teacher" not in json.dumps(run_.spec.digests())


def test_a_task_without_a_track_for_students_is_said(lessons):
    task = lessons / "local/tasks/tiny.toml"
    task.write_text(task.read_text().replace('student_track = "small"\n', ""))
    with pytest.raises(UsageError, match="names no track for students") as error:
        planned("rkd-da")
    assert "--track" in error.value.way_out
    assert planned("rkd-da", track="small")[0].spec.track.id == "small"


def test_a_teacher_whose_track_shows_other_pixels_is_refused_before_any_run(lessons, dmlbench):
    track = lessons / "local/tracks/small.toml"
    track.write_text(track.read_text().replace("mean = 1.0", "mean = 0.5"))
    _, said = run(dmlbench, "rkd-da", status=2)
    assert "sees other pixels" in said
    assert not Path("runs").exists()


def test_teacher_and_plain_student_are_both_checked_before_any_run(lessons, monkeypatch):
    built = []

    def build(specs, *_):
        built.extend((spec.track.id, spec.protocol.id) for spec in specs)
        return len(specs)

    monkeypatch.setattr("dmlbench.run.precheck._build_apart", build)
    runs = [run_ for wave in in_waves(planned("contrastive", seeds=[0, 1])) for run_ in wave]
    precheck(runs, ready(runs[0].spec.task, runs[0].spec.track.images), Path("runs"))
    assert built == [("tiny", "local/tiny/v1"), ("small", RULES)]


# ---- a lesson


@pytest.mark.slow
def test_a_student_is_taught_without_a_manual_step_and_held_against_both(lessons, dmlbench):
    (record,), said = run(dmlbench, "rkd-da")
    assert "contrastive seed 0 (teacher)  validation" in said
    assert "contrastive seed 0 (plain student)  validation" in said
    spec = planned("rkd-da")[0].spec
    directory = RunDirectory(Path("runs") / record["run_key"])
    assert record["run_key"] == spec.key
    metrics = record["metrics"]

    # The teacher: its own network, the same scorer, the same side.
    teacher = FinishedNetwork(Path("runs") / spec.teacher, digest_of_run(Path("runs") / spec.teacher)).eval()
    data = Prepared.open(ready(spec.task, spec.track.images).folder)
    with torch.no_grad():
        rows = teacher(to_input(data.images[data.validation.rows], spec.track.images, torch.device("cpu")))
    own = score(rows, data.validation.labels, metrics=["map_at_r", "recall_at_1"], tie_seed=20260101)
    assert metrics["teacher/map_at_r"] == pytest.approx(own.metrics["map_at_r"], abs=1e-6)
    assert metrics["teacher/recall_at_1"] == pytest.approx(own.metrics["recall_at_1"], abs=1e-6)
    kept = load_file(directory.embeddings("validation", "teacher"))["embeddings"]
    assert torch.allclose(kept, rows, atol=1e-5)

    # The plain student: its own record.
    plain = json.loads(RunDirectory(Path("runs") / spec.plain).record("validation").read_text())
    assert (plain["track"], plain["seed"], plain["protocol"]) == ("small", 0, RULES)
    assert metrics["plain/map_at_r"] == plain["metrics"]["map_at_r"]
    assert "gap_closed" not in plain["metrics"]
    assert plain["metrics"]["teacher/map_at_r"] == metrics["teacher/map_at_r"]

    if metrics["teacher/map_at_r"] > metrics["plain/map_at_r"]:
        gap = metrics["teacher/map_at_r"] - metrics["plain/map_at_r"]
        closed = (metrics["map_at_r"] - metrics["plain/map_at_r"]) / gap
        assert metrics["gap_closed"] == pytest.approx(closed)
    else:
        assert "gap_closed" not in metrics
        assert "gap_closed is left out" in said

    # Parameters of both, and who it was, by key and digest and not by a path of this machine.
    assert record["teacher_parameters"] == sum(p.numel() for p in teacher.parameters())
    assert 0 < record["inference_parameters"] < record["teacher_parameters"]
    assert record["dimension"] == 5
    (named,) = [used for used in record["components"] if used["role"] == "teacher"]
    assert named["settings"] == {"run": spec.teacher, "digest": digest_of_run(Path("runs") / spec.teacher)}
    assert str(lessons) not in json.dumps(record)

    # Issued again, nothing is trained.
    (again,), said = run(dmlbench, "rkd-da")
    assert again == record
    assert said.count("(from its record)") == 3


@pytest.mark.slow
def test_a_method_without_a_teacher_is_held_against_it_too(lessons, dmlbench):
    records, _ = run(dmlbench, "untrained", "contrastive")
    untrained, plain = records
    assert untrained["metrics"]["plain/map_at_r"] == plain["metrics"]["map_at_r"]
    assert untrained["metrics"]["teacher/map_at_r"] == plain["metrics"]["teacher/map_at_r"]
    assert not [used for used in untrained["components"] if used["role"] == "teacher"]
    spec = planned("untrained")[0].spec
    assert untrained["held_against"] == {"teacher": spec.teacher, "plain": plain["run_key"]}
    assert plain["held_against"] == {"teacher": spec.teacher}
    # Its images are embedded where the student's are.
    elsewhere = SimpleNamespace(teacher=None, device=torch.device("meta"))
    network = teacher_network(spec, elsewhere, Path("runs"))
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    dmlbench("leaderboard", "add", "runs")
    dmlbench("leaderboard", "render")
    (table,) = [p for p in Path("leaderboards").rglob("table.md") if "lessons" in str(p)]
    assert "parameters of the teacher" in table.read_text()
    (others,) = [p for p in Path("leaderboards").rglob("table.md") if "lessons" not in str(p)]
    assert "parameters of the teacher" not in others.read_text()


@pytest.mark.slow
def test_whoever_learns_from_a_network_of_its_own_is_held_against_the_protocols_teacher(lessons, dmlbench):
    (lessons / "by_chance.toml").write_text(UNTRAINED)
    (record, plain), _ = run(dmlbench, "./by_chance.toml", "contrastive")
    assert record["metrics"]["teacher/map_at_r"] == plain["metrics"]["teacher/map_at_r"]
    assert record["teacher_parameters"] == plain["teacher_parameters"] > 0
    (named,) = [used for used in record["components"] if used["role"] == "teacher"]
    assert (named["id"], named["settings"]) == ("dmlbench:conv4", {"width": 4})


@pytest.fixture
def beside(lessons):
    """A student's folder, embeddings of its teacher, and the validation side; write the plain score."""
    spec = planned("rkd-d")[0].spec
    data = ready(spec.task, spec.track.images)
    directory = RunDirectory(lessons / "runs" / spec.key)
    directory.root.mkdir(parents=True)
    directory.embedded("validation").write_text('{"teacher_distance": "cosine"}')
    rows = torch.randn(len(data.validation.rows), 4, generator=torch.Generator().manual_seed(0))
    save_file({"embeddings": rows}, directory.embeddings("validation", "teacher"))
    side = data.validation

    def held(student, plain=None):
        scores = RunDirectory(lessons / "runs" / spec.plain).scores("validation")
        if plain is not None:
            scores.parent.mkdir(exist_ok=True)
            scores.write_text(json.dumps({"metrics": {"map_at_r": plain}}))
        return held_against(spec, directory, "validation", side, student, ["map_at_r"])

    return held


def test_no_gap_is_said_aloud_and_nothing_is_divided_by_it(beside, capsys):
    teacher = beside(0.5, plain=0.9)["teacher/map_at_r"]
    assert 0 < teacher < 0.9
    assert "gap_closed is left out: the teacher" in capsys.readouterr().out
    assert "gap_closed" not in beside(0.5, plain=teacher)
    assert "no better than the plain student" in capsys.readouterr().out
    assert beside(0.5, plain=0.0)["gap_closed"] == pytest.approx(0.5 / teacher)
    assert capsys.readouterr().out == ""


def test_a_student_without_a_plain_one_beside_it_is_no_result(beside):
    with pytest.raises(RunError, match="plain student was not scored"):
        beside(0.5)


@pytest.mark.slow
def test_a_student_may_teach_the_next_generation(lessons, dmlbench):
    (first,), _ = run(dmlbench, "rkd-d", "--track", "tiny")
    folder = Path("runs") / first["run_key"]
    (second,), _ = run(dmlbench, "rkd-d", "--track", "tiny", "--set", f"teacher.run={folder}")
    (named,) = [used for used in second["components"] if used["role"] == "teacher"]
    assert named["settings"]["digest"] == digest_of_run(folder)
    assert second["metrics"]["teacher/map_at_r"] == pytest.approx(first["metrics"]["map_at_r"], abs=0.02)
    assert second["metrics"]["plain/map_at_r"] == first["metrics"]["plain/map_at_r"]
    assert "@" in second["method"]
    # The protocol's teacher has no part in it.
    assert second["held_against"] == {"plain": first["held_against"]["plain"]}


@pytest.mark.slow
def test_fresh_makes_each_run_that_was_asked_for_once_again(lessons, dmlbench):
    asked = ("rkd-d", "contrastive", "--fresh")
    before, said = run(dmlbench, *asked)
    assert not Path("runs/.old").exists()
    assert "contrastive seed 0  validation" in said
    after, _ = run(dmlbench, *asked)
    keys = sorted(record["run_key"] for record in before)
    assert sorted(path.name.partition("-")[0] for path in Path("runs/.old").iterdir()) == keys
    assert not {record["run_id"] for record in before} & {record["run_id"] for record in after}
    assert [record["metrics"] for record in after] == [record["metrics"] for record in before]


def cannot_be_made(key):
    """Where a file has to be written lies a folder."""
    (Path("runs") / key / "components.json").mkdir(parents=True)


@pytest.mark.slow
def test_nothing_is_trained_that_needs_a_teacher_which_failed(lessons, dmlbench):
    spec = planned("rkd-d")[0].spec
    cannot_be_made(spec.teacher)
    (record,), said = run(dmlbench, "rkd-d", status=1)
    assert record["outcome"]["status"] == "failed"
    why = "not started, for it needs contrastive seed 0 (teacher), which failed"
    assert record["outcome"]["message"] == why
    assert f"contrastive seed 0 (plain student)  FAILED  RunError: {why}" in said
    assert [path.name for path in Path("runs").iterdir()] == [spec.teacher]


@pytest.mark.slow
def test_a_plain_student_that_failed_is_not_tried_twice_and_stops_those_held_against_it(lessons, dmlbench):
    cannot_be_made(planned("rkd-d")[0].spec.plain)
    (student, plain), said = run(dmlbench, "rkd-d", "contrastive", status=1)
    assert "needs contrastive seed 0 (plain student), which failed" in student["outcome"]["message"]
    assert "components.json" in plain["outcome"]["message"]
    assert said.count("  log  ") == 1
    assert not (Path("runs") / student["run_key"]).exists()


# ---- who breaks the rules


@pytest.mark.slow
def test_a_teacher_does_not_move_in_a_whole_run(lessons, dmlbench):
    run(dmlbench, "triplet-feature-matching", "rkd-d")
    spec = planned("rkd-d")[0].spec
    folder = Path("runs") / spec.teacher
    teacher = FinishedNetwork(folder, digest_of_run(folder))
    stored = load_file(folder / "selected.safetensors")
    state = teacher.model.state_dict()
    assert any(name.endswith("running_var") for name in state)
    assert all(torch.equal(value, stored[name]) for name, value in state.items())


@pytest.mark.slow
def test_a_teacher_that_learns_ends_its_run(lessons, distribution, installed, dmlbench, monkeypatch):
    made = distribution("spoilers", PLUGIN, parts__py=SPOILERS)
    installed(made.site)
    monkeypatch.setenv("PYTHONPATH", str(made.site), prepend=os.pathsep)
    (lessons / "spoiled.toml").write_text(SPOILED)
    (record,), said = run(dmlbench, "./spoiled.toml", status=1)
    assert record["outcome"]["status"] == "failed"
    assert "the teacher has changed in training" in said


def test_every_bit_of_a_teacher_counts():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    class Named:
        module = network

    before = state_digest(Named)
    assert state_digest(Named) == before
    network[1].num_batches_tracked += 1
    assert state_digest(Named) != before
    network[1].num_batches_tracked -= 1
    assert state_digest(Named) == before
    with torch.no_grad():
        weight = network[0].weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert state_digest(Named) != before
    assert state_digest(None) == ""


@pytest.mark.slow
def test_another_teacher_in_its_place_is_noticed(lessons, dmlbench):
    """The run that teaches is told by its key: other weights under it are another digest in the record."""
    (before,), _ = run(dmlbench, "rkd-d")
    spec = planned("rkd-d")[0].spec
    place = Path("runs") / spec.teacher / "selected.safetensors"
    state = {name: value.clone() for name, value in load_file(place).items()}
    state["heads.main.linear.weight"][0, 0] += 1
    save_file(state, place)
    found = digest_of_run(place.parent)
    (named,) = [used for used in before["components"] if used["role"] == "teacher"]
    assert found != named["settings"]["digest"]


@pytest.mark.slow
def test_a_teacher_of_another_split_is_refused_before_any_run(lessons, dmlbench):
    (record,), _ = run(dmlbench, "contrastive")
    task = (lessons / "local/tasks/tiny.toml").read_text()
    other = task.replace('id = "tiny"', 'id = "other"').replace("seed = 0", "seed = 1")
    (lessons / "local/tasks/other.toml").write_text(other)
    done = dmlbench("run", "rkd-d", "--task", "other", "--protocol", RULES, "--profile", "smoke", "--jobs",
                    "1", "--set", f"teacher.run=runs/{record['run_key']}")  # fmt: skip
    assert done.status == 2
    assert "it may know test classes of other" in done.err


def test_no_student_trains_while_its_teacher_is_missing(lessons):
    spec = planned("rkd-d")[0].spec
    directory = RunDirectory(lessons / "runs" / spec.key)
    directory.root.mkdir(parents=True)
    directory.spec.write_text(spec.to_json())
    with pytest.raises(UsageError, match="no finished run is here"):
        train(directory, ready(spec.task, spec.track.images).folder, lambda message: None)
