"""A record: what a run leaves, one JSON line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dmlbench.spec.model import ADDED, Digest, Id, Spec
from dmlbench.spec.protocol import ProfileName, ProtocolId, Scored

RECORD_SCHEMA: Literal[1] = 1

RunKey = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Outcome(Spec):
    """How the run ended. A failure is a record too, but never counts as done."""

    status: Literal["ok", "failed"]
    kind: str | None = None
    """The exception's type, or what ended the process."""
    message: str | None = None
    frames: tuple[str, ...] = ()
    """The last frames, `file:line function`, innermost last."""


class UsedComponent(Spec):
    """A component of the recipe as it was run."""

    role: str
    """Its name in the recipe: `sampler`, `backbone`, a term's name, …"""
    id: str
    """`distribution:id`"""
    version: str
    source: Digest
    settings: dict[str, Any]
    """All settings, defaults written out."""


class Record(Spec):
    """One run's result. Units are part of names; there is no NaN, no host and no user name in it."""

    record_schema: Literal[1] = RECORD_SCHEMA
    run_key: RunKey
    run_id: str
    """Tells two runs of one key apart: the start, UTC, and six random hex digits."""
    method: str
    base: str | None = None
    seed: int
    protocol: ProtocolId
    task: Id
    track: Id
    profile: ProfileName
    budget: int
    """Images seen that the profile allows."""
    scored: Scored
    on_track: bool = True
    trains: bool = True
    numerics: str
    """Device and arithmetic, e.g. `cpu-fp32`, `cpu-bf16`, `cuda-bf16`."""
    outcome: Outcome
    metrics: dict[str, float] = Field(default_factory=dict)
    """Of the checkpoint that the protocol reports, the selected one unless it says otherwise. Where that is
    the last one, `selected/…` are those of the selected one and `gap/…` the difference. `drop_precision` and
    `drop_recall` say how well a method found wrong labels."""
    last_metrics: dict[str, float] = Field(default_factory=dict)
    """Of the last checkpoint."""
    metric_versions: dict[str, int] = Field(default_factory=dict)
    queries: int = 0
    lone_queries: int = 0
    selected_images: int = 0
    """Images seen at the selected checkpoint."""
    validation: list[tuple[int, float]] = Field(default_factory=list)
    """(images seen, primary metric on the validation classes), in order."""
    pseudo_nmi: list[tuple[int, float]] = Field(default_factory=list, json_schema_extra=ADDED)
    """(images seen, NMI of the labels made then against the true ones), in order, where core makes labels."""
    images_seen: int = 0
    extra_forwards: int = 0
    dimension: int = 0
    inference_parameters: int = 0
    teacher_parameters: int = Field(default=0, json_schema_extra=ADDED)
    """Of the network that taught, where one did."""
    held_against: dict[Literal["teacher", "plain"], RunKey] = Field(
        default_factory=dict, json_schema_extra=ADDED
    )
    """Keys of the protocol's teacher, unless the recipe names another, and of the plain student."""
    digests: dict[str, Digest] = Field(default_factory=dict)
    """protocol, task, track, method, data"""
    components: list[UsedComponent] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    """dmlbench, python, torch, platform, threads, processor."""
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_mib: int = 0
    oracle: bool = Field(default=False, json_schema_extra=ADDED)
    """Whether the recipe was told something that only core knows, e.g. how many labels are wrong."""
    fidelity: str = Field(default="", json_schema_extra=ADDED)
    """What the recipe follows: the paper, its code, or a reconstruction of what cannot be read."""
    costs: dict[str, float] = Field(default_factory=dict, json_schema_extra=ADDED)
    """What a step took, e.g. `triplets_per_step`."""
    classes: Digest | None = None
    """Of the per-class file beside the record: what `compare` resamples."""
    claim: Literal["self-reported", "reproduced"] = "self-reported"
