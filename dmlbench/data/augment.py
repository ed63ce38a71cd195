"""From stored bytes to the network's input, and random changes of whole batches, on the device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from dmlbench.data.crop import middle, random_boxes, resized_crops
from dmlbench.data.device import on_device
from dmlbench.data.whole import WholePictures
from dmlbench.spec.track import Augmentation, ImagePipeline

#: Luma of ITU-R BT.601, as Pillow's conversion to grey.
_LUMA = (0.299, 0.587, 0.114)
#: Random numbers an image takes, used or not: switching one change off leaves the others as they were.
_DRAWS = 8
#: Floats changed at a time on a CPU: what is between two steps stays in its cache. The bits are the same.
_CACHED = 1 << 18


def to_input(
    images: UInt8[Tensor, "batch height width channel"], pipeline: ImagePipeline, device: torch.device | str
) -> Float[Tensor, "batch channel height width"]:
    """`(pixel / 255 - mean) / std`, float32 on `device`, in channels-last memory: the order of the store.

    Where the track crops, of the middle of `images`.
    """
    seen = middle(images, pipeline.size) if pipeline.crop else images
    return _scaled(on_device(seen, device), pipeline)


def to_training_input(
    store: UInt8[Tensor, "item stored stored channel"] | WholePictures,
    rows: Int[Tensor, " batch"],
    pipeline: ImagePipeline,
    device: torch.device | str,
    generator: torch.Generator,
) -> Float[Tensor, "batch channel height width"]:
    """As `to_input` of the store's `rows`; where the track crops, of a part of each image that is drawn from
    `generator`."""
    crop, size = pipeline.crop, pipeline.size
    if crop is None:
        return to_input(store[rows], pipeline, device)
    if isinstance(store, WholePictures):
        boxes = random_boxes(store.sizes[rows], crop, size, generator)
        return _scaled(store.crops(rows, boxes, size, device), pipeline)
    boxes = random_boxes(torch.full((len(rows), 2), crop.stored), crop, size, generator)
    return _scaled(resized_crops(on_device(store[rows], device), boxes, size), pipeline)


def _scaled(
    pixels: Float[Tensor, "batch channel height width"], pipeline: ImagePipeline
) -> Float[Tensor, "batch channel height width"]:
    """Pixels from 0 to 255 as the network takes them, in place."""
    mean, std = float(pipeline.mean), float(pipeline.std)
    return pixels.mul_(1 / (255 * std)).sub_(mean / std)


def augment(
    images: Float[Tensor, "batch channel height width"], pipeline: ImagePipeline, generator: torch.Generator
) -> Float[Tensor, "batch channel height width"]:
    """Each image changed by its own draw from `pipeline.augmentation`; `images` themselves stay.

    `images` are inputs as `to_input` makes them, the result is too. What comes in at the border is white.
    Colours are changed in pixel values and held in [0, 1]; saturation leaves one channel as it is.
    `generator` is on the CPU whatever the device, so that all devices see the same draws. Without any change
    to make, the result is `images`.
    """
    change = pipeline.augmentation
    moves, colours = _moves(change), bool(change.brightness or change.contrast or change.saturation)
    draws = torch.rand(len(images), _DRAWS, generator=generator)
    if not (moves or colours):
        return images
    std = float(pipeline.std)
    white = (1 - float(pipeline.mean)) / std
    maps = _inverse_maps(draws, change).to(images.device)
    factors = _colour_factors(draws, change).to(images.device)
    changed = torch.empty_like(images, memory_format=torch.channels_last)
    parts = _parts(images)
    for old, new, own_maps, own_factors in zip(
        *(tensor.tensor_split(parts) for tensor in (images, changed, maps, factors)), strict=True
    ):
        # Differences from white: outside the picture `grid_sample` finds 0. Planes stay contiguous.
        ink = torch.sub(old, white, out=torch.empty_like(old, memory_format=torch.contiguous_format))
        if moves:
            ink = _moved(ink, own_maps)
        if colours:
            ink = _recoloured(ink, own_factors, std)
        if ink.shape[1] == 1:
            torch.add(ink, white, out=new)
        else:  # by channels: `add` would walk through channels-last memory a few values at a time
            torch.stack(ink.add_(white).unbind(1), dim=3, out=new.permute(0, 2, 3, 1))
    return changed


def _parts(images: Tensor) -> int:
    """Into how many parts a batch is divided. None is one image alone: threads would share its mean."""
    if images.device.type != "cpu":
        return 1
    return max(1, min(math.ceil(images.numel() / _CACHED), len(images) // 2))


def _signed(draws: Tensor) -> Tensor:
    """[0, 1) to [-1, 1)."""
    return draws * 2 - 1


def _moves(change: Augmentation) -> bool:
    return bool(
        change.rotation_degrees or change.shift or change.flip or any(zoom != 1 for zoom in change.scale)
    )


def _inverse_maps(draws: Float[Tensor, "batch draw"], change: Augmentation) -> Float[Tensor, "batch 2 3"]:
    """For each image the matrix from output to input coordinates, both in [-1, 1].

    Forward, an image is mirrored, then rotated and zoomed about its centre, then shifted.
    """
    angle = _signed(draws[:, 0]) * math.radians(float(change.rotation_degrees))
    low, high = map(float, change.scale)
    zoom = low + draws[:, 1] * (high - low)
    shift = _signed(draws[:, 2:4]) * 2 * float(change.shift)  # the side is 2 long in these coordinates
    mirror = torch.where(draws[:, 4] < float(change.flip), -1.0, 1.0)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    turn = torch.stack([mirror * cos, mirror * sin, -sin, cos], dim=1).view(-1, 2, 2)
    return torch.cat([turn, -turn @ shift[:, :, None]], dim=2)


def _moved(
    ink: Float[Tensor, "batch channel height width"], maps: Float[Tensor, "batch 2 3"]
) -> Float[Tensor, "batch channel height width"]:
    """`ink` seen through `maps`, bilinear, 0 outside."""
    height, width = ink.shape[2:]
    # F.affine_grid multiplies 2 x 3 matrices one by one; sums of broadcast rows and columns take a tenth.
    across = maps[:, :, 0, None] * _centres(width, ink.device)  # batch, 2, width
    down = maps[:, :, 1, None] * _centres(height, ink.device) + maps[:, :, 2, None]  # batch, 2, height
    grid = (down[:, :, :, None] + across[:, :, None, :]).permute(0, 2, 3, 1)  # batch, height, width, 2
    return F.grid_sample(ink, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _centres(pixels: int, device: torch.device) -> Float[Tensor, " pixel"]:
    """Coordinates of pixel centres when the edges are at -1 and 1."""
    return (torch.arange(pixels, device=device, dtype=torch.float32) * 2 + 1) / pixels - 1


def _colour_factors(draws: Float[Tensor, "batch draw"], change: Augmentation) -> Float[Tensor, "batch 3"]:
    ranges = torch.tensor([float(change.brightness), float(change.contrast), float(change.saturation)])
    return 1 + _signed(draws[:, 5:8]) * ranges


def _recoloured(
    ink: Float[Tensor, "batch channel height width"], factors: Float[Tensor, "batch 3"], std: float
) -> Float[Tensor, "batch channel height width"]:
    """Brightness b scales pixels, contrast c their distance from the mean grey, saturation s from their own.

    One after another on pixels p with grey g, that is s b c p + (1 - s) b c g + (1 - c) b mean(g), held in
    [0, 1]. Here p = 1 + std * ink, and the same for g, so the constants become an offset of the ink.
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    grey = ink
    if ink.shape[1] == 3:
        red, green, blue = (weight * ink[:, channel, None] for channel, weight in enumerate(_LUMA))
        grey = red + green + blue
    both = brightness * contrast
    mean_grey = 1 + std * grey.mean(dim=(2, 3), keepdim=True)
    offset = (both + (1 - contrast) * brightness * mean_grey - 1) / std
    return torch.addcmul(grey * ((1 - saturation) * both) + offset, ink, saturation * both).clamp_(
        -1 / std, 0
    )
