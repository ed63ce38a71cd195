"""A track: what is held equal between methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dmlbench.spec.component import Component
from dmlbench.spec.model import ADDED, PROSE, Id, Number, Spec
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


class Crop(Spec):
    """More is stored than the network sees: evaluation sees the middle, training a part drawn per image."""

    stored: int = Field(ge=8)
    """Shorter side in pixels of what is stored."""
    keep: Literal["square", "whole"] = Field(default="square", json_schema_extra=ADDED)
    """Of a picture that is no square: the square in its middle, or all of it."""
    kind: Literal["random", "random-resized"]
    """`random`: a square of the network's size, anywhere. `random-resized`: a box of another size and shape,
    resized to it, as torchvision's `RandomResizedCrop`."""
    area: tuple[Number, Number] | None = None
    """Of a box, as a share of what is stored; uniform."""
    ratio: tuple[Number, Number] | None = None
    """Width over height of a box; its logarithm is uniform."""

    @model_validator(mode="after")
    def _boxes_have_ranges(self) -> Crop:
        ranges = (self.area, self.ratio)
        if self.kind == "random" and ranges != (None, None):
            raise ValueError("area and ratio belong to the kind 'random-resized'")
        if self.kind == "random-resized":
            if None in ranges:
                raise ValueError("the kind 'random-resized' needs area and ratio")
            if any(pair is not None and not 0 < pair[0] <= pair[1] for pair in ranges):
                raise ValueError("area and ratio go from a smaller number above 0 to a larger one")
            if self.area is not None and self.area[1] > 1:
                raise ValueError("no box has more area than what is stored")
        return self


class ImagePipeline(Spec):
    """From a source picture to the network's input."""

    size: int = Field(ge=8)
    """Side in pixels of what the network sees; pictures are resized to a square on white."""
    channels: int = Field(ge=1)
    """1 for grey, 3 for colour; another number for data sets whose pictures have as many bands."""
    mean: Number
    std: Number
    """Input = (pixel / 255 - mean) / std."""
    crop: Crop | None = Field(default=None, json_schema_extra=ADDED)
    """None: what is stored is what is seen."""
    augmentation: Augmentation

    @property
    def stored(self) -> int:
        """Side in pixels of the squares in the store, or shorter side of whole pictures."""
        return self.crop.stored if self.crop else self.size

    @property
    def whole(self) -> bool:
        """Whether pictures of all shapes are stored."""
        return self.crop is not None and self.crop.keep == "whole"

    @model_validator(mode="after")
    def _crops_are_of_what_is_stored(self) -> ImagePipeline:
        if self.stored < self.size:
            raise ValueError(f"crops of {self.size} pixels need as much to be stored, not {self.stored}")
        return self

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
