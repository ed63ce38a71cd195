"""Which label noise a command means, and whether a recipe was told how much there is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from dmlbench.errors import DataError, UsageError, nearest
from dmlbench.registry.registry import load_target, registry
from dmlbench.run.components import components_of
from dmlbench.spec.method import Method
from dmlbench.spec.noise import Noise
from dmlbench.spec.protocol import Protocol
from dmlbench.spec.track import Track
from dmlbench.train.settings import resolve_settings


def chosen_noises(
    protocol: Protocol, names: Sequence[str], file: Path | None
) -> tuple[list[Noise | None], str | None]:
    """The protocol's kinds of noise called `names`, all unless given, or the list in `file` and its text.

    A protocol without label noise has the one kind None. Raises `UsageError` for a name that it does not
    have, `DataError` for a file that cannot be read.
    """
    known = {noise.id: noise for noise in protocol.noises}
    if not known and (names or file):
        raise UsageError(
            f"protocol {protocol.id} has no label noise", way_out="--protocol noisy-label/v1, or no --noise"
        )
    if file is not None and names:
        raise UsageError("--noise and --noise-list are two kinds of noise", way_out="give one of them")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the noise list: {error}", place=file) from error
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return [Noise(id=f"list-{sha256[:8]}", rule="list", listed=f"sha256:{sha256}")], text
    for name in names:
        if name not in known:
            raise UsageError(
                f"protocol {protocol.id} has no noise {name!r}",
                near=nearest(name, known),
                way_out=f"--noise {' or '.join(known)}",
            )
    return [known[name] for name in names or known] or [None], None


def knows_noise(method: Method, track: Track, noise: Noise, home: str) -> bool:
    """Whether the recipe sets what stands for the rate of wrong labels, or happens to assume the true one."""
    for kind, name, component in components_of(method, track):
        entry = registry().find(kind, component.component, home=home)
        settings = resolve_settings(load_target(entry), component.settings, name)
        for setting in entry.plugin.oracle:
            value = settings.get(setting)
            if setting in component.settings or (
                noise.rate is not None
                and isinstance(value, float | Decimal)
                and float(value) == float(noise.rate)
            ):
                return True
    return False
