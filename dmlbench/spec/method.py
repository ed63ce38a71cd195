"""A method: a named recipe of components. Composition is data; flags live on the term, never in the loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dmlbench.spec.component import Component
from dmlbench.spec.model import ADDED, PROSE, Id, Number, Setting, Spec


class Term(Component):
    """A loss or regulariser in the sum, with everything that says which rows it sees."""

    weight: Number | str = Number(1)
    """A number, or `COMPONENT.ATTRIBUTE`: a scalar that another component keeps."""
    miner: Id | None = None
    rows: Literal["all", "real", "synthetic"] = "all"
    """Which rows the term sees; under other `refs` they are its anchors."""
    refs: str = "same"
    """What anchors are compared with: `same` rows, `all`, `real`, `memory`, or a sampler's role."""
    own_copies: Literal["positive", "exclude"] = "positive"
    """Whether rows made from one picture are each other's positives."""
    view: Literal["raw", "unit", "ball"] = "unit"
    """What `embeddings` means to this term and its miner."""
    head: Id = "main"
    from_step: int = Field(default=0, ge=0)
    memory: int = Field(default=0, ge=0)
    """Rows kept of past steps, for `refs = "memory"`."""

    @model_validator(mode="after")
    def _memory_is_sized(self) -> Term:
        if (self.refs == "memory") != (self.memory > 0):
            raise ValueError('`refs = "memory"` and `memory = ROWS` go together')
        return self


class Augmenter(Component):
    """An augmenter of one head's rows (where it acts, `at`, is the plugin's own declaration)."""

    miner: Id | None = None
    head: Id = "main"


class Method(Spec):
    """A recipe. What it leaves out is the track's."""

    id: Id
    summary: str = Field(json_schema_extra=PROSE)
    paper: str = Field(default="", json_schema_extra=PROSE)
    claim: str = Field(default="", json_schema_extra=PROSE)
    fidelity: Literal["paper", "code", "reconstruction", "baseline"] = Field(json_schema_extra=PROSE)
    base: Id | None = Field(default=None, json_schema_extra=PROSE)
    """The method this one is compared with."""
    settings_from: str = Field(default="", json_schema_extra=PROSE)
    """Where the settings come from: the paper, its code, a validation search."""
    search: dict[str, list[Setting]] = Field(default_factory=dict, json_schema_extra=PROSE)
    """The values that a search may try, by `COMPONENT.SETTING`."""

    trains: bool = True
    sampler: Component | None = None
    augmenters: dict[Id, Augmenter] = Field(default_factory=dict)
    miners: dict[Id, Component] = Field(default_factory=dict)
    terms: dict[Id, Term] = Field(default_factory=dict)
    combiner: Component | None = None
    others: dict[Id, Component] = Field(default_factory=dict)
    """Components that only listen to events, e.g. relabellers."""
    teacher: Component | None = None

    backbone: Component | None = None
    heads: dict[Id, Component] = Field(default_factory=dict)
    """Own backbone or heads put a method off the track."""
    distance: Literal["cosine", "euclidean", "poincare"] = "cosine"
    readout: Literal["unit", "raw", "ball", "concat", "fused"] = "unit"
    novel: Literal["imprinted", "augmented", "fine-tuned", "joint"] = Field(
        default="imprinted", json_schema_extra=ADDED
    )
    """How a class is added from few images, where a protocol does so. `imprinted`: its row is the mean of
    their embeddings. `augmented`: of five randomly changed views of each. `fine-tuned`: the method trains on,
    from imprinted rows, with base classes and the few images. `joint`: it trains with both from the start."""

    @property
    def trains_on_novel(self) -> bool:
        """Whether classes are added by training on their few images."""
        return self.novel in ("fine-tuned", "joint")

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> Method:
        if self.trains and not self.terms:
            raise ValueError("a method that trains needs at least one term")
        heads = set(self.heads) or {"main"}
        reserved = {"sampler", "combiner", "backbone", "teacher", "model"}
        names = [*heads, *self.augmenters, *self.miners, *self.terms, *self.others]
        twice = sorted({n for n in names if names.count(n) > 1} | (reserved & set(names)))
        if twice:
            raise ValueError(f"component names are used twice or reserved: {', '.join(twice)}")
        users: dict[str, Augmenter | Term] = {**self.augmenters, **self.terms}
        for name, user in users.items():
            if user.miner is not None and user.miner not in self.miners:
                raise ValueError(f"{name}: no miner is called {user.miner!r}")
            if user.head not in heads:
                raise ValueError(f"{name}: no head is called {user.head!r}")
        return self
