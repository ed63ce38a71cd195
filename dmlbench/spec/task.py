"""A task: a data set and the rule that splits its classes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dmlbench.spec.component import Component
from dmlbench.spec.model import ADDED, PROSE, Digest, Id, Number, Spec


class Split(Spec):
    """Who trains, who validates, who tests: whole classes, but for the last two rules.

    `by-group`: groups (an item's `group`, e.g. a base concept) are drawn in a seeded order until each share
    of the classes is reached. `official`: items whose `part` is `train` train or validate, the others test;
    validation takes whole groups (e.g. alphabets) from a seeded order. `given`: an item's `part` is its side;
    where none validates, whole groups of the training part do, in a seeded order. `within-class`: every class
    is on every side; its groups (e.g. a picture, or a burst of them) are drawn in a seeded order, as many as
    the shares of their number say, rounded, and one or more. `identities`: every class may be on every side,
    and a group is who is on a picture, or who drew it, and on one side: that of its items' `part`, or where
    they have none, by a seeded deal of the groups into folds.
    """

    rule: Literal["by-group", "official", "given", "within-class", "identities"]
    seed: int
    train: Number | None = None
    validation: Number | None = None
    """`by-group`: shares of the classes; the rest tests. `given`: the share of the training classes that
    validates where no item does. `within-class`: shares of each class's groups; the rest tests. `identities`:
    the share of the training groups that validates where items have a `part` and none validates."""
    validation_groups: int | None = None
    """`official`: how many groups of the training part validate."""
    across: Id | None = Field(default=None, json_schema_extra=ADDED)
    """`by-group`: a column, e.g. `domain`. Groups whose classes lack items of any of its values never train:
    they are drawn for validation and test alone, in the proportion of these shares."""
    folds: int | None = Field(default=None, ge=3, json_schema_extra=ADDED)
    """`identities`: into how many the groups are dealt."""
    fold: int | None = Field(default=None, ge=0, json_schema_extra=ADDED)
    """`identities`: the one that tests. The next validates (after the last the first), the others train."""

    @model_validator(mode="after")
    def _draws_groups(self) -> Split:
        if self.across is not None and self.rule != "by-group":
            raise ValueError("`across` belongs to the rule 'by-group'")
        return self

    @model_validator(mode="after")
    def _one_of_its_folds_tests(self) -> Split:
        if (self.folds, self.fold) == (None, None):
            return self
        if self.rule != "identities" or self.folds is None or self.fold is None or self.fold >= self.folds:
            raise ValueError("`folds`, and a `fold` from 0 to folds - 1, belong to the rule 'identities'")
        return self


class Task(Spec):
    """What is learnt on and scored on."""

    id: Id
    summary: str = Field(json_schema_extra=PROSE)
    dataset: Component
    split: Split
    track: Id = Field(json_schema_extra=PROSE)
    """The track used when none is named."""
    student_track: Id | None = Field(default=None, json_schema_extra=PROSE)
    """The track used when none is named and a teacher, trained on `track`, is to be learnt from."""
    protocol: str = Field(default="zero-shot/v1", json_schema_extra=PROSE)
    fingerprint: Digest | None = None
    """sha256 over (path, source sha256, class, labels) of every item, sorted; None: the task does not say."""
    source: str = Field(default="", json_schema_extra=PROSE)
    """Where the files are, for data of one's own; what they are is in the fingerprint."""
