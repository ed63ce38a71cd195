"""The network of a finished run, frozen: what another run may learn from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jaxtyping import Float
from pydantic import ValidationError
from safetensors.torch import load
from torch import Tensor, nn

from dmlbench.errors import DataError, UsageError
from dmlbench.registry.registry import digest_of
from dmlbench.run.directory import RunDirectory
from dmlbench.spec.run import RunSpec
from dmlbench.train.component import Built
from dmlbench.train.embedding import read_out
from dmlbench.train.network import build_network
from dmlbench.train.numerics import Numerics
from dmlbench.train.scope import Scope


class FinishedNetwork(nn.Module):
    """Images to what the run was scored by, Float[rows dimension], in fp32.

    `folder` is that of the run, `runs/RUN_KEY`. The weights are those that its protocol reports. `digest` is
    the sha256, 64 hex digits, of the run's key and the bytes of the weights: an error says what it is.

    Raises `UsageError` for a run that is not finished, that is asked for without a digest, whose network
    cannot be built alone or has another source by now; `DataError` for other weights.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        super().__init__()
        self.spec, content = _named(folder, digest)
        method, track = self.spec.method, self.spec.track
        if method.readout == "fused" or self.spec.protocol.columns:
            why = "a combiner" if method.readout == "fused" else "columns of the data set"
            raise UsageError(f"the run needs {why} to embed images, which others do not have", place=folder)
        facts = {
            "image_size": track.images.size,
            "image_channels": track.images.channels,
            "embedding_dim": track.dimension,
        }
        home = self.spec.name.partition(":")[0]
        built = build_network(method, track, facts, set(), Numerics("cpu-fp32"), self.spec.seed, home)
        for part in (built.backbone, *built.heads.values()):
            if digest_of(part.entry) != self.spec.sources[part.name]:
                raise UsageError(
                    f"the source of {part.name} ({part.entry.full_id}) has changed since the run",
                    place=folder,
                    way_out="make the run again",
                )
        self.model = built.model
        own = self.model.state_dict().keys()
        self.model.load_state_dict({name: value for name, value in load(content).items() if name in own})
        self.dimension = track.dimension

    def forward(self, images: Float[Tensor, "rows channel height width"]) -> Float[Tensor, "rows dim"]:
        features, maps = self.model.features(Scope(values={"images": images}))
        return read_out(self.model, self.spec.method, features, maps, combiner=None)


def digest_of_run(folder: Path) -> str:
    """What a finished run is known by. `UsageError` or `DataError` when there is none, or none to read."""
    return _read(folder)[2]


def check_finished(spec: RunSpec, teacher: Built | None) -> None:
    """Refuse a finished run as the teacher of `spec` that knows its test classes or sees other pixels."""
    for part in teacher.module.modules() if teacher and teacher.module else ():
        if isinstance(part, FinishedNetwork):
            check_teacher(spec, part.spec)


def check_teacher(spec: RunSpec, other: RunSpec) -> None:
    """Refuse `other` as the teacher of `spec`, where it knows its test classes or labels that are hidden from
    `spec`, or sees other pixels."""
    if (other.task.dataset, other.task.split) != (spec.task.dataset, spec.task.split):
        raise UsageError(
            f"the teacher was trained on another split, that of task {other.task.id}: it may know test "
            f"classes of {spec.task.id}",
            way_out="a teacher that was trained on the same data set and split",
        )
    if spec.told_apart and _told(spec) != _told(other):
        raise UsageError(
            f"the teacher was told other labels than this run: it may know what {spec.protocol.id} hides",
            way_out="a teacher that was trained under the same protocol, with the same noise and seed",
        )
    drawn = {"augmentation"}
    theirs, ours = (run.track.images.model_dump(exclude=drawn) for run in (other, spec))
    if theirs != ours:
        raise UsageError(
            f"the teacher sees other pixels: its track {other.track.id} prepares images in another way "
            f"than {spec.track.id}",
            way_out="a teacher whose track has the same size, channels, mean, std and crop",
        )


def _told(spec: RunSpec) -> object:
    """What decides the labels that training is told."""
    return spec.protocol.pseudo_labels, spec.protocol.shots, spec.noise, spec.seed


def _read(folder: Path) -> tuple[RunSpec, bytes, str]:
    """The run's spec, the bytes of its weights, and the digest of both."""
    directory = RunDirectory(folder)
    if not directory.trained.exists():
        raise UsageError(
            "no finished run is here",
            place=folder,
            way_out="--protocol distillation/v1, which trains a teacher; or the folder of a finished run: "
            "--set teacher.run=runs/RUN_KEY",
        )
    try:
        spec = RunSpec.from_file(directory.spec)
        content = directory.weights(spec.protocol.reported).read_bytes()
    except (OSError, ValidationError, ValueError) as error:
        raise DataError(f"the run cannot be read: {error}", place=folder) from error
    return spec, content, hashlib.sha256(spec.key.encode() + content).hexdigest()


def _named(folder: Path, digest: str) -> tuple[RunSpec, bytes]:
    """The run's spec and the bytes of its weights, if they are those that `digest` names."""
    spec, content, found = _read(folder)
    if not digest:
        raise UsageError(
            "a finished run needs its digest, so that a record says which it was",
            place=folder,
            way_out=f'digest = "{found}"',
        )
    if found != digest.lower():
        raise DataError(
            f"this is not the run that was asked for: digest {found}, expected {digest}",
            place=folder,
            way_out="the folder of the one you mean, or the digest of this one",
        )
    return spec, content
