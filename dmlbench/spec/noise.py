"""Wrong training labels, put there on purpose: the rule and how many."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dmlbench.spec.model import Digest, Id, Number, Spec


class Noise(Spec):
    """A rule by which core gives wrong labels to training and validation images; test labels stay true.

    `symmetric`: exactly round(rate x images) of them get another class of their side, each class equally
    likely. `superclass`: the same, but the other class is one of the same superclass. `small-cluster-16px`:
    whole classes, drawn until they hold `rate` of the images, are cut into clusters of pictures that look
    alike at 16 x 16 pixels (k-means, half as many clusters as images), and each cluster joins a class that
    is left. `list`: a published list of paths and labels, for training images alone.
    """

    id: Id
    """Stands behind the task's name in tables: `omniglot-symmetric-50`."""
    rule: Literal["symmetric", "superclass", "small-cluster-16px", "list"]
    rate: Number | None = Field(default=None, gt=0, lt=1)
    listed: Digest | None = None
    """sha256 of the list's bytes."""

    @model_validator(mode="after")
    def _says_how_many(self) -> Noise:
        listed = self.rule == "list"
        if listed != (self.listed is not None) or listed == (self.rate is not None):
            raise ValueError("the rule 'list' has `listed`, every other rule a `rate`")
        return self
