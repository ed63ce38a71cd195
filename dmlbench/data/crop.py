"""Parts of images, the same size for all: the field's random crops, batched on the device.

Resizing a box is a product with two matrices, one for its rows and one for its columns, each with the weights
of a triangle filter. So a batch of boxes of all sizes is two batched products, exact and without a loop.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from dmlbench.spec.model import Number
from dmlbench.spec.track import Crop

TRIES = 10
"""Boxes drawn for an image until one fits, as torchvision does; if none does, it is the middle."""


def middle(
    images: Shaped[Tensor, "batch height width channel"], size: int
) -> Shaped[Tensor, "batch size size channel"]:
    """The square in the middle, a view; with an odd rest where torchvision's `center_crop` has it."""
    top, left = (round((side - size) / 2) for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def random_boxes(
    sizes: Int[Tensor, "count 2"], crop: Crop, size: int, generator: torch.Generator
) -> Int[Tensor, "count 4"]:
    """Top, left, height and width of a box in each image, on the CPU; `sizes` are their heights and widths.

    Boxes are distributed as those of torchvision's `RandomCrop(size)` and `RandomResizedCrop(size)`.
    `generator` is on the CPU whatever the device, so that all devices see the same boxes.
    """
    count = len(sizes)
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    if crop.area is None or crop.ratio is None:
        sides = torch.full((count, 2), size)
        return torch.cat([(places * (sizes - sides + 1)).long(), sides], dim=1)
    draws = torch.rand(2, count, TRIES, generator=generator, dtype=torch.float64)
    sides, fits = _box_sides(draws, sizes, crop.area, crop.ratio)
    room = sizes - sides
    corners = torch.where(fits[:, None], (places * (room + 1)).long(), room // 2)
    return torch.cat([corners, sides], dim=1)


def _box_sides(
    draws: Float[Tensor, "2 count try"],
    sizes: Int[Tensor, "count 2"],
    areas: tuple[Number, Number],
    ratios: tuple[Number, Number],
) -> tuple[Int[Tensor, "count 2"], Bool[Tensor, " count"]]:
    """Height and width of the first box of each image that fits; where none does, of the largest there is."""
    (least, most), (narrow, wide) = (tuple(map(float, pair)) for pair in (areas, ratios))
    area = (least + draws[0] * (most - least)) * sizes.prod(dim=1, keepdim=True)
    ratio = torch.exp(math.log(narrow) + draws[1] * (math.log(wide) - math.log(narrow)))
    sides = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=2).round().long()
    fitting = ((sides > 0) & (sides <= sizes[:, None])).all(dim=2)
    first = fitting.long().argmax(dim=1)
    chosen = sides[torch.arange(len(sides)), first]
    height, width = sizes.double().unbind(1)
    nearest = (width / height).clamp(narrow, wide)
    largest = torch.stack([height.minimum(width / nearest), width.minimum(height * nearest)], dim=1)
    fits = fitting.any(dim=1)
    return torch.where(fits[:, None], chosen, largest.round().long()), fits


def resized_crops(
    images: Float[Tensor, "batch channel height width"], boxes: Int[Tensor, "batch 4"], size: int
) -> Float[Tensor, "batch channel size size"]:
    """Each box of its image resized to `size` x `size`, bilinear and antialiased, in channels-last memory.

    As torchvision's `resized_crop` on a float tensor; Pillow's `resize` of the cut box differs by rounding to
    whole levels, twice.
    """
    top, left, height, width = boxes.to(images.device, torch.float32).unbind(1)
    rows = _weights(top, height, images.shape[2], size)
    columns = _weights(left, width, images.shape[3], size)
    seen = torch.matmul(torch.matmul(rows[:, None], images), columns[:, None].transpose(2, 3))
    return seen.contiguous(memory_format=torch.channels_last)


def _weights(
    start: Float[Tensor, " batch"], length: Float[Tensor, " batch"], pixels: int, size: int
) -> Float[Tensor, "batch size pixel"]:
    """What each of `pixels` adds to each of `size` pixels that the `length` from `start` on are resized to.

    A triangle about the new pixel's centre, as wide as it is large, and no smaller than an old pixel; 0
    outside the box.
    """
    step = (length / size)[:, None, None]
    old = torch.arange(pixels, device=start.device) + 0.5 - start[:, None, None]
    new = (torch.arange(size, device=start.device)[:, None] + 0.5) * step
    weights = (1 - (old - new).abs() / step.clamp(min=1)).clamp_(min=0)
    weights *= (old > 0) & (old < length[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)
