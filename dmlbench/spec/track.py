"""A track: what is held equal between methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dmlbench.spec.component import Component
from dmlbench.spec.model import PROSE, Id, Number, Spec
from dmlbench.spec.protocol import ProfileName


class Augmentation(Spec):
    """Random changes of a training image, each drawn per image and uniform in its range."""

    rotation_degrees: Number = Field(ge=0)
    """Rotation in [-r, r]."""
    scale: tuple[Number, Number]
    """Zoom factor of the drawing."""
    shift: Number = Field(ge=0)
    """Translation in [-s, s] of the image side, each axis."""
    flip: Number = Field(ge=0, le=1)
    """Probability of a horizontal mirror image."""
    brightness: Number = Field(ge=0)
    contrast: Number = Field(ge=0)
    saturation: Number = Field(ge=0)
    """Colour factors in [1 - x, 1 + x]."""


class ImagePipeline(Spec):
    """From a source picture to the network's input."""

    size: int = Field(ge=8)
    """Side in pixels; pictures are resized to a square on white."""
    channels: int = Field(ge=1)
    """1 for grey, 3 for colour; another number for data sets whose pictures have as many bands."""
    mean: Number
    std: Number
    """Input = (pixel / 255 - mean) / std."""
    augmentation: Augmentation

    @model_validator(mode="after")
    def _colours_are_there_to_change(self) -> ImagePipeline:
        change = self.augmentation
        if self.channels not in (1, 3) and (change.brightness or change.contrast or change.saturation):
            raise ValueError("brightness, contrast and saturation are changed in 1 or 3 channels alone")
        return self


class Optimiser(Spec):
    """The trunk's optimiser; a method's own groups may differ from it."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"]
    rate: Number = Field(gt=0)
    weight_decay: Number = Field(ge=0)
    schedule: Literal["constant", "cosine"]
    """A factor on every rate, as a function of the share of the budget used."""


class Track(Spec):
    """Backbone, head, dimension, images, optimiser and budget: equal for every on-track method."""

    id: Id
    summary: str = Field(json_schema_extra=PROSE)
    backbone: Component
    head: Component
    dimension: int = Field(ge=1)
    """Total width of what is scored."""
    images: ImagePipeline
    pretraining: str
    batch_size: int = Field(ge=2)
    sampler: Component
    """The sampler of a method that names none."""
    optimiser: Optimiser
    batchnorm: Literal["train", "frozen"]
    budget: dict[ProfileName, int]
    """Images seen, by profile."""
