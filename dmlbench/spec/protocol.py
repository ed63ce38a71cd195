"""A protocol: the frozen rules of a comparison."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dmlbench.spec.model import ADDED, ID_PATTERN, PROSE, Id, Number, Spec
from dmlbench.spec.noise import Noise

ProtocolId = Annotated[str, Field(pattern=rf"^(?:local/)?{ID_PATTERN}/v[0-9]+$")]

Family = Literal[
    "zero-shot",
    "noisy-label",
    "multi-label",
    "cross-modal",
    "low-shot",
    "distillation",
    "pseudo-label",
    "expression",
    "verification",
]
Scored = Literal["validation", "test"]
ProfileName = Literal["smoke", "quick", "ranked"]


class Profile(Spec):
    """How much is run and what is looked at."""

    seeds: int = Field(ge=1)
    scores: Scored


class Pairs(Spec):
    """Pairs of pictures that core draws on each side: as many of one class (genuine) as of two (impostors).

    Classes are dealt into folds, and both pictures of a pair are of its fold's classes.
    """

    seed: int
    folds: int = Field(ge=2)
    genuine: int = Field(ge=1)
    """In each fold, and as many impostors; fewer in all folds alike where one has not so many."""
    across: tuple[Id, ...] = ()
    """The pictures of a pair differ in the first of these columns that the data set has, e.g. `drawer`."""


class Gallery(Spec):
    """Who asks and who is asked: a column of the items says it, and no item does both."""

    column: Id
    queries: tuple[str, ...] = Field(min_length=1)
    """Values of the column; their items ask, and are not searched."""
    gallery: tuple[str, ...] = Field(min_length=1)
    """Values of the column; their items are searched, and ask nothing."""
    dealt: bool = False
    """Validation items without a value are dealt by core: of each class half of them ask, rounded down."""
    seed: int
    """Of the deal, and of the rotation from which binary codes start."""

    @model_validator(mode="after")
    def _nobody_finds_itself(self) -> Gallery:
        if both := sorted({*self.queries} & {*self.gallery}):
            raise ValueError(f"items of {self.column} {both[0]!r} would be found by themselves")
        return self


class Distillation(Spec):
    """Who teaches, and what students are held against: runs that core makes once, before the students'."""

    teacher: Id
    """The method that the teacher is trained by, on the task's own track."""
    rules: ProtocolId
    """The protocol that the teacher is trained under."""
    seed: int = Field(ge=0)
    """The teacher's: all students of a comparison have one teacher."""
    plain: Id
    """The method that the plain student is trained by: the student's track and seed, and no teacher."""


class Classes(Spec):
    """Items are put into classes that were trained: the one whose mean of training images is nearest."""

    hidden: Id
    """Column of finer classes, which no component may see; scored where a data set has it."""
    seed: int
    """Of the clusterings, and of the draws that say what chance gives."""


class Shots(Spec):
    """Base classes train; novel ones, those of the side that is scored, are added from few labelled images.

    The images of every class are divided first: base classes train on their pool, the few images of a novel
    one are drawn from its pool, and all others are scored.
    """

    seed: int
    numbers: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    """Images of each novel class. A number that a class has too few images for is left out, for all."""
    draws: int = Field(ge=2)
    """How often the few images are drawn anew: metrics are means over the draws."""
    pool: Number = Field(gt=0, lt=1)
    """The share of a class's images that is its pool, rounded down, but for one image on either side."""
    published: tuple[str, ...] = ()
    """Columns that say `train` or `test` of an image. The first that the data set has stands in place of
    `pool`."""
    tuning: Number = Field(gt=0, le=1)
    """What a method that trains on with the novel classes may see for each number of images, as a share of
    the run's budget."""
    tuning_rate: Number = Field(gt=0, le=1)
    """The factor on all rates meanwhile."""
    tuned_draws: int = Field(ge=1)
    """On how many of the draws, the first ones: each is a training of its own."""


class PseudoLabels(Spec):
    """Clusters in place of labels, which nobody but the scorer sees: as many as there are training classes.

    The first are clusters of the pictures themselves, 16 x 16 pixels less their mean, to unit length; later
    ones of what the network makes of the images. All by k-means, from the run's seed.
    """

    every: int = Field(ge=1)
    """Epochs from one clustering to the next."""
    iterations: int = Field(ge=1)
    """Of k-means."""


class Protocol(Spec):
    """Splits, selection, scoring and repeats; everything that a method may not choose."""

    id: ProtocolId
    status: Literal["draft", "frozen"]
    family: Family
    summary: str = Field(json_schema_extra=PROSE)
    task: Id = Field(default="emoji", json_schema_extra=PROSE)
    """The task used when none is named."""

    form: Literal["self", "pairs", "gallery", "classes", "shots"]
    """`self`: every item is a query, ranked against all others. `pairs`: pairs of items are told apart.
    `gallery`: some items are queries, ranked against a gallery of others. `classes`: items are put into the
    classes that were trained, and ranked as under `self`. `shots`: items are put into classes that were
    trained and classes known by few images."""
    columns: tuple[Id, ...] = ()
    """Data set columns that components may ask for beside labels, e.g. `domain`."""
    labels: Literal["one", "several"] = Field(default="one", json_schema_extra=ADDED)
    """What an item has: one class, or any number of labels (`relevance`)."""
    noises: tuple[Noise, ...] = Field(default=(), json_schema_extra=ADDED)
    """Wrong labels for training and validation. Each is a comparison of its own; none: labels as they are."""

    pairs: Pairs | None = Field(default=None, json_schema_extra=ADDED)
    """Which pairs, where the form is `pairs`."""
    gallery: Gallery | None = Field(default=None, json_schema_extra=ADDED)
    """Who asks whom, where the form is `gallery`. `bits64/METRIC` is then a metric of binary codes."""
    distillation: Distillation | None = Field(default=None, json_schema_extra=ADDED)
    """Who teaches, where students learn from a finished run."""
    classes: Classes | None = Field(default=None, json_schema_extra=ADDED)
    """What lies below the classes, where the form is `classes`."""
    shots: Shots | None = Field(default=None, json_schema_extra=ADDED)
    """Which images of novel classes are known, where the form is `shots`."""
    pseudo_labels: PseudoLabels | None = Field(default=None, json_schema_extra=ADDED)
    """How labels are made, where the true ones are hidden."""

    metrics: tuple[str, ...] = Field(min_length=1)
    primary: str
    ties: Literal["permuted"] | None = Field(default=None, json_schema_extra=ADDED)
    tie_seed: int | None = Field(default=None, json_schema_extra=ADDED)
    lone: Literal["excluded", "zero"] | None = Field(default=None, json_schema_extra=ADDED)
    """What a query without any positive counts as. These three belong to rankings, and to them alone."""

    selection: Literal["validation", "last"]
    validations: int = Field(ge=1)
    """Evenly spaced validation scores in a run; on equal scores the earliest wins."""
    reported: Literal["selected", "last"] = Field(default="selected", json_schema_extra=ADDED)
    """Which weights the metrics are of. With `last`, the selected ones stand beside them, and the gap."""
    extra_forwards: int = Field(ge=0)
    """Gradient-free image passes a method may use, in multiples of the budget."""

    profiles: dict[ProfileName, Profile]

    @model_validator(mode="after")
    def _primary_is_reported(self) -> Protocol:
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is not among the metrics")
        names = [noise.id for noise in self.noises]
        if len(set(names)) < len(names):
            raise ValueError("two kinds of noise have one id")
        if names and self.labels == "several":
            raise ValueError("label noise is about wrong classes, and items with several labels have none")
        return self

    @model_validator(mode="after")
    def _what_is_hidden_selects_nothing(self) -> Protocol:
        if self.pseudo_labels is None:
            return self
        if self.selection != "last":
            raise ValueError("where labels are hidden, none can select: `selection` is 'last'")
        if self.noises or self.columns or self.labels == "several":
            raise ValueError("where labels are hidden, there is no noise, no column, and one class an item")
        if self.form in ("classes", "shots"):
            raise ValueError(f"the form {self.form!r} needs true classes, and labels are hidden")
        return self

    @model_validator(mode="after")
    def _says_what_its_form_needs(self) -> Protocol:
        ranking = {"ties": self.ties, "tie_seed": self.tie_seed, "lone": self.lone}
        own = {"pairs": self.pairs, "gallery": self.gallery, "classes": self.classes, "shots": self.shots}
        wanted = {*(() if self.form in ("pairs", "shots") else ranking), *own.keys() & {self.form}}
        for name, value in {**ranking, **own}.items():
            if (value is not None) != (name in wanted):
                has = "has no" if name not in wanted else "needs"
                raise ValueError(f"the form {self.form!r} {has} `{name}`")
        if self.form == "pairs" and self.labels == "several":
            raise ValueError("a pair is of one class or of two, and items with several labels have none")
        if self.form == "gallery" and self.labels == "several":
            raise ValueError("queries ask for their class, and items with several labels have none")
        if self.form in ("classes", "shots") and self.distillation is not None:
            raise ValueError(f"a teacher is scored by the side alone, and the form {self.form!r} needs more")
        return self

    @model_validator(mode="after")
    def _classes_are_added_as_it_says(self) -> Protocol:
        if self.shots is None:
            return self
        if self.labels == "several" or self.noises:
            raise ValueError("the form 'shots' is about true classes, one an item")
        if self.columns:
            raise ValueError("the form 'shots' has no `columns`: novel images come without any")
        known = {f"accuracy_{group}_{n}" for group in ("novel", "all") for n in self.shots.numbers}
        if strange := sorted(set(self.metrics) - known):
            raise ValueError(f"{strange[0]!r} is no metric of the numbers of images that are shown")
        if not self.primary.startswith("accuracy_novel_"):
            raise ValueError("the form 'shots' selects by novel classes, e.g. accuracy_novel_1")
        if self.shots.tuned_draws > self.shots.draws:
            raise ValueError("more draws are trained on than there are")
        return self

    @model_validator(mode="after")
    def _nobody_sees_what_is_hidden(self) -> Protocol:
        if self.classes is not None:
            if self.classes.hidden in self.columns:
                raise ValueError(f"{self.classes.hidden!r} is hidden, and components may ask for `columns`")
            if self.labels == "several":
                raise ValueError("an item is put into one class, and items with several labels have none")
            if self.noises:
                raise ValueError("class means are of true classes, and label noise would hide these")
        return self

    @property
    def against_training(self) -> bool:
        """Whether scores rest on embeddings of the training images too."""
        return self.form == "classes"
