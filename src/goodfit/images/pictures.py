"""Images as small pictures that a report can carry."""

from __future__ import annotations

import base64
import io

import numpy as np

_SMALL = 48 * 48
"""Images of so many pixels are kept to the pixel; larger ones are compressed."""


def pictures(pixels: np.ndarray) -> list[str]:
    """Images as data URLs: small ones as PNG, to the pixel, larger ones as JPEG.

    Args:
        pixels: uint8 or float32 from 0 to 1, shape (images, height, width, 1 or 3).

    Example:
        >>> pictures(np.zeros((1, 8, 8, 1), np.uint8))[0][:22]
        'data:image/png;base64,'
    """
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    kind = "PNG" if pixels.shape[1] * pixels.shape[2] <= _SMALL else "JPEG"
    made = []
    for image in pixels:
        file = io.BytesIO()
        drawn = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        drawn.save(file, kind, **({"optimize": True} if kind == "PNG" else {"quality": 85}))
        made.append(f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}")
    return made
