"""Our constructors from PML's: what core knows stands before the `*`, plain settings after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dmlbench.api import UsageError
from dmlbench_plugins.pml.loss_table import LOSSES
from dmlbench_plugins.pml.miner_table import MINERS

_FACTS = {
    "num_classes": "num_classes",
    "embedding_size": "embedding_dim",
    "descriptors_dim": "embedding_dim",
    "l": "embedding_dim",
}
"""PML's name of what core knows -> our name."""

_CONSULTED = {"num_classes": ("beta_per_class", False)}
"""A fact that PML may do without -> the setting that says whether it is handed over."""

_FIXED = {"BatchHardMiner": {"pos_strategy", "neg_strategy"}}
"""What a class passes to its parent itself."""

_STRATEGY = Literal["hard", "semihard", "easy", "all"]
_TYPES: dict[str, Any] = {
    "LargeMarginSoftmaxLoss.margin": int,
    "RankedListLoss.alpha": float | None,
    "K": int,
    "allowed_neg_range": tuple[float, float] | None,
    "allowed_pos_range": tuple[float, float] | None,
    "centers_per_class": int,
    "delta": float | None,
    "n_bins": int | None,
    "neg_per_bin": int,
    "neg_strategy": _STRATEGY,
    "num_bins": int,
    "pos_per_bin": int,
    "pos_strategy": _STRATEGY,
    "sub_centers": int,
    "triplets_per_anchor": int | Literal["all"],
    "type_of_triplets": Literal["all", "hard", "semihard", "easy"],
    "variant": Literal["Ds", "Dq", "Iu", "Ib", "O"],
}
"""Settings that are neither real numbers nor switches. PML writes 1 for a real number too."""


@dataclass(frozen=True)
class Constructor:
    """How to build a PML class from what core gives. `settings` maps a name to (type, default)."""

    upstream: Callable[..., Any]
    facts: Mapping[str, str]
    settings: Mapping[str, tuple[Any, Any]]

    def __call__(self, given: Mapping[str, Any]) -> Any:
        """Build it from our names. Raises `UsageError` with PML's words when PML refuses a setting."""
        given = dict(given)
        facts = {theirs: given.pop(ours) for theirs, ours in self.facts.items()}
        for theirs, (switch, _) in _CONSULTED.items():
            if switch in given and not given.pop(switch):
                facts[theirs] = None
        try:
            return self.upstream(**facts, **given)
        except (ValueError, AssertionError) as error:
            raise UsageError(f"{self.upstream.__name__}: {' '.join(str(error).split())}") from error


def constructor(upstream: type) -> Constructor:
    """Read PML's class, and the classes that it hands its `**kwargs` on to.

    Of PML's base classes nothing is read: distances, reducers and regularisers are objects, no settings.
    """
    facts: dict[str, str] = {}
    settings: dict[str, tuple[Any, Any]] = {}
    skip = {"self", *_FIXED.get(upstream.__name__, ())}
    for owner in inspect.getmro(upstream):
        if "__init__" not in vars(owner) or owner.__name__ not in {**LOSSES, **MINERS}:
            continue
        for name, parameter in inspect.signature(owner.__init__).parameters.items():
            if name in skip or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            skip.add(name)
            if name not in _FACTS:
                settings[name] = _setting(owner.__name__, parameter)
                continue
            facts[name] = _FACTS[name]
            if parameter.default is not parameter.empty:
                switch, default = _CONSULTED[name]
                settings[switch] = (bool, default)
    return Constructor(upstream, facts, settings)


def _setting(owner: str, parameter: inspect.Parameter) -> tuple[Any, Any]:
    """(type, default); what PML demands has no default here either."""
    name, default = parameter.name, parameter.default
    kind = _TYPES.get(f"{owner}.{name}", _TYPES.get(name, bool if isinstance(default, bool) else float))
    return kind, float(default) if kind is float and isinstance(default, int) else default


def announce(
    initialise: Callable[..., None], build: Constructor, more: Mapping[str, tuple[Any, Any]]
) -> inspect.Signature:
    """Let `initialise` (`self`, anything by name) announce facts, then settings; returns its signature.

    `more` are settings of the adapter's own.
    """
    settings = {**build.settings, **more}
    ours = sorted(set(build.facts.values()), reverse=True)  # num_classes, embedding_dim
    parameters = [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        *(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int) for name in ours),
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for name, (kind, default) in settings.items()
        ),
    ]
    initialise.__signature__ = inspect.Signature(parameters)
    initialise.__annotations__ = {p.name: p.annotation for p in parameters[1:]}
    return inspect.Signature(parameters[1:])
