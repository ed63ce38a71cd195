"""From a picture file's bytes to what is stored of it."""

from __future__ import annotations

import io

from PIL import Image, ImageOps


def square(content: bytes, size: int) -> Image.Image:
    """The central square of a picture, RGB, what is transparent on white.

    The field's test images are resized and cropped at the centre too; grey files get three equal channels.
    """
    return ImageOps.fit(_on_white(content), (size, size), Image.Resampling.LANCZOS)


def whole(content: bytes, size: int) -> Image.Image:
    """All of a picture, RGB, what is transparent on white, with a shorter side of `size`."""
    return shorter_side_of(_on_white(content), size)


def shorter_side_of(picture: Image.Image, size: int) -> Image.Image:
    """Resized to a shorter side of `size` pixels; the longer one is in proportion, rounded down."""
    shorter = min(picture.size)
    width, height = (side * size // shorter for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _on_white(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as file:
        if "A" in file.getbands() or "transparency" in file.info:
            drawing = file.convert("RGBA")
            picture = Image.new("RGBA", drawing.size, "white")
            picture.alpha_composite(drawing)
        else:
            picture = file
        return picture.convert("RGB")
