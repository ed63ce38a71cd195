"""From a picture file's bytes to the square that is stored."""

from __future__ import annotations

import io

from PIL import Image, ImageOps


def square(content: bytes, size: int) -> Image.Image:
    """The central square of a picture, RGB, what is transparent on white.

    The field's test images are resized and cropped at the centre too; grey files get three equal channels.
    """
    with Image.open(io.BytesIO(content)) as file:
        if "A" in file.getbands() or "transparency" in file.info:
            drawing = file.convert("RGBA")
            picture = Image.new("RGBA", drawing.size, "white")
            picture.alpha_composite(drawing)
        else:
            picture = file
        return ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
