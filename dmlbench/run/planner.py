"""From names to run specs: everything that can be wrong with a command is found here, before any run."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from dmlbench.errors import UsageError
from dmlbench.protocols import load_protocol, load_track
from dmlbench.run.components import check_components
from dmlbench.run.finished import check_teacher
from dmlbench.run.gallery_scores import BITS, CODES
from dmlbench.run.methods import resolve_method
from dmlbench.run.noises import chosen_noises, knows_noise
from dmlbench.run.tasks import task_named
from dmlbench.run.teaching import names_run, pinned
from dmlbench.score.faiss_library import faiss
from dmlbench.spec.method import Method
from dmlbench.spec.protocol import ProfileName, Protocol, Scored
from dmlbench.spec.run import RunSpec
from dmlbench.spec.task import Task
from dmlbench.spec.track import Track
from dmlbench.train.numerics import Numerics, best_numerics

_CLASSES_ON_ALL_SIDES = ("multi-label", "expression")
"""Families whose training and test images may be of one class."""

_EVERYWHERE = ("within-class", "identities")
"""Rules of splits that leave every class on every side."""


@dataclass(frozen=True)
class Planned:
    """A run to make, and what of it is looked at."""

    spec: RunSpec
    scored: Scored
    noise_list: str | None = None
    """The text of the published list of wrong labels, where the noise is one."""
    oracle: bool = False
    """Whether the recipe was told something that only core knows."""
    needs: tuple[Planned, ...] = ()
    """Runs that have to be done before: the teacher, and the plain student."""
    part: str = ""
    """What others need it as, where nobody asked for it."""


def plan(
    methods: Sequence[str],
    *,
    protocol: str | None = None,
    task: str,
    track: str | None = None,
    profile: ProfileName,
    seeds: Sequence[int] | None = None,
    changes: Sequence[str] = (),
    score_test: bool = False,
    numerics: str | None = None,
    noises: Sequence[str] = (),
    noise_list: Path | None = None,
) -> list[Planned]:
    """The runs of a command, methods outermost.

    `noises` are ids of the protocol's kinds of label noise, all of them unless given; `noise_list` is a file
    of wrong labels to use instead.

    Raises `UsageError` or `SpecError` for an unknown method, task, track, component or setting.
    """
    the_task = task_named(task)
    the_protocol = load_protocol(protocol or the_task.protocol)
    the_track = load_track(track or _usual_track(the_protocol, the_task))
    if profile not in the_protocol.profiles:
        raise UsageError(
            f"protocol {the_protocol.id} has no profile {profile!r}",
            way_out=f"--profile {' or '.join(the_protocol.profiles)}",
        )
    _check_split(the_protocol, the_task)
    if the_protocol.pseudo_labels is not None:
        faiss()  # clusters are made by it: say now that it is missing
    _check_budget(the_track, profile)
    _check_codes(the_protocol, the_track)
    rules = the_protocol.profiles[profile]
    scored: Scored = "test" if score_test else rules.scores
    chosen = list(range(rules.seeds)) if seeds is None else list(seeds)
    device = _usable(numerics) if numerics else best_numerics()
    the_noises, listed = chosen_noises(the_protocol, noises, noise_list)
    changes = pinned(changes)
    lessons = _Lessons(the_protocol, the_task, the_track, task, profile, scored, device)
    runs = []
    for name in methods:
        full_id, method = resolve_method(name, changes)
        home = full_id.partition(":")[0]
        _check_means(the_protocol, full_id, method)
        sources = check_components(method, the_task, the_track, home)
        for noise, seed in itertools.product(the_noises, chosen):
            teacher, plain = lessons.teacher(method), lessons.plain(full_id, seed)
            spec = RunSpec(
                name=full_id,
                method=method,
                protocol=the_protocol,
                task=the_task,
                track=the_track,
                profile=profile,
                seed=seed,
                numerics=device,
                torch=_torch_minor(),
                sources=sources,
                noise=noise,
                teacher=teacher.spec.key if teacher else None,
                plain=plain.spec.key if plain else None,
            )
            if teacher is not None:
                check_teacher(spec, teacher.spec)
            oracle = noise is not None and knows_noise(method, the_track, noise, home)
            needs = tuple(need for need in (teacher, plain) if need is not None)
            runs.append(Planned(spec, scored, listed, oracle, needs))
    return runs


def in_waves(runs: Sequence[Planned]) -> list[list[Planned]]:
    """`runs` last, before them what they need, and what that needs; nothing comes twice but in the last."""
    waves = [list(runs)]
    while needs := {need.spec.key: need for planned in waves[0] for need in planned.needs}:
        waves.insert(0, list(needs.values()))
    done: set[str] = set()
    for wave in waves[:-1]:
        wave[:] = [planned for planned in wave if planned.spec.key not in done]
        done |= {planned.spec.key for planned in wave}
    return [wave for wave in waves if wave]


@dataclass(frozen=True)
class _Lessons:
    """The runs that those of a command need under a protocol of teachers and students."""

    rules: Protocol
    task: Task
    track: Track
    called: str
    """The task as the user named it."""
    profile: ProfileName
    scored: Scored
    numerics: str
    made: dict[tuple[str, str, str, int], Planned] = field(default_factory=dict)

    def teacher(self, method: Method) -> Planned | None:
        """The protocol's teacher, unless the recipe names a finished run: a network of the recipe's own
        may teach, but is nothing to be held against."""
        lessons = self.rules.distillation
        if lessons is None or names_run(method):
            return None
        return self._plan("teacher", lessons.teacher, lessons.rules, self.task.track, lessons.seed)

    def plain(self, full_id: str, seed: int) -> Planned | None:
        """The plain student that this method is held against, unless it is the one."""
        lessons = self.rules.distillation
        if lessons is None or full_id == resolve_method(lessons.plain)[0]:
            return None
        return self._plan("plain student", lessons.plain, self.rules.id, self.track.id, seed)

    def _plan(self, part: str, method: str, protocol: str, track: str, seed: int) -> Planned:
        key = (method, protocol, track, seed)
        if key not in self.made:
            (planned,) = plan(
                [method],
                protocol=protocol,
                task=self.called,
                track=track,
                profile=self.profile,
                seeds=[seed],
                score_test=self.scored == "test",
                numerics=self.numerics,
            )
            self.made[key] = replace(planned, part=part)
        return self.made[key]


def _usual_track(protocol: Protocol, task: Task) -> str:
    if protocol.distillation is None:
        return task.track
    if task.student_track is None:
        raise UsageError(
            f"task {task.id} names no track for students, and {protocol.id} is about small ones",
            way_out="--track TRACK; the teacher is trained on the task's own",
        )
    return task.student_track


def _check_split(protocol: Protocol, task: Task) -> None:
    if protocol.classes is not None and task.split.rule != "identities":
        raise UsageError(
            f"task {task.id} does not split identities, and {protocol.id} is about known classes of new ones",
            way_out=f"--protocol {task.protocol}, or a task whose split has the rule 'identities'",
        )
    if task.split.rule in _EVERYWHERE and protocol.family not in _CLASSES_ON_ALL_SIDES:
        raise UsageError(
            f"task {task.id} has every class on every side, and {protocol.id} is about classes never seen",
            way_out=f"--protocol {task.protocol}, or a task whose classes are split",
        )


def _check_means(protocol: Protocol, name: str, method: Method) -> None:
    """Class means are of flat space, and clusters need faiss: found out now, and not after training."""
    if protocol.classes is None:
        return
    faiss()
    if method.distance == "poincare":
        raise UsageError(
            f"{name} compares by the poincare distance, in which {protocol.id} knows no class means",
            way_out="a method with the cosine or the euclidean distance",
        )


def _check_codes(protocol: Protocol, track: Track) -> None:
    if any(name.startswith(CODES) for name in protocol.metrics) and track.dimension < BITS:
        raise UsageError(
            f"codes of {BITS} bits need {BITS} dimensions, track {track.id} has {track.dimension}",
            way_out="a track of more dimensions",
        )


def _check_budget(track: Track, profile: ProfileName) -> None:
    budget = track.budget.get(profile)
    if budget is None:
        raise UsageError(
            f"track {track.id} has no budget for the profile {profile!r}",
            way_out=f"--profile {' or '.join(track.budget)}",
        )
    if budget < track.batch_size:
        raise UsageError(
            f"the budget of {budget} images is less than one batch of {track.batch_size}",
            place=f"track {track.id}",
        )


def _usable(numerics: str) -> str:
    """`numerics`, if this machine can do it."""
    chosen = Numerics(numerics)
    if chosen.device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"{numerics}: no CUDA device here", way_out=f"--numerics {best_numerics()}")
    return chosen.name


@functools.cache
def _torch_minor() -> str:
    """`2.13`: other patch releases promise equal numbers."""
    return ".".join(importlib.metadata.version("torch").split(".")[:2])
